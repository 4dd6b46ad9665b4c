"""What a PromQL expression speaks of."""
import os
import re

import promql_parser

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def golden_metrics():
    """Every metric that a process of this project exports."""
    with open(os.path.join(ROOT, "tests/golden/metrics.txt"), encoding="utf-8") as file:
        return set(file.read().split())


def metrics_of(expression):
    """The families that it names: a histogram's `_bucket`, `_sum` and `_count` are the histogram's."""
    golden = golden_metrics()
    selectors = []

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            selectors.append(node)

    promql_parser.walk(promql_parser.parse(expression), visit)
    names = set()
    for selector in selectors:
        name = selector.name or next(m.value for m in selector.matchers.matchers if m.name == "__name__")
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        names.add(family if family in golden else name)
    return names
