// Macros that return early on an error status, so that the happy path reads straight down.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define SLUICE_CONCAT_INNER(a, b) a##b
#define SLUICE_CONCAT(a, b) SLUICE_CONCAT_INNER(a, b)

// Returns the status of `expr` from the enclosing function unless it is OK.
#define SLUICE_RETURN_IF_ERROR(expr)        \
  do {                                      \
    absl::Status sluice_status = (expr);    \
    if (!sluice_status.ok()) [[unlikely]] { \
      return sluice_status;                 \
    }                                       \
  } while (false)

// `SLUICE_ASSIGN_OR_RETURN(auto x, F());`: x is the value of F(), or the error is returned.
#define SLUICE_ASSIGN_OR_RETURN(lhs, expr) \
  SLUICE_ASSIGN_OR_RETURN_INNER(SLUICE_CONCAT(sluice_or_, __LINE__), lhs, expr)
#define SLUICE_ASSIGN_OR_RETURN_INNER(var, lhs, expr) \
  auto var = (expr);                                  \
  if (!var.ok()) [[unlikely]] {                       \
    return std::move(var).status();                   \
  }                                                   \
  lhs = *std::move(var)
