#!/usr/bin/env python3
"""The dashboards, as code.

usage: generate.py FOLDER

Writes NAME.json for each dashboard into FOLDER; `./run dashboards` does it in place.
"""
import json
import os
import sys

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models import prometheus as p

DATASOURCE = d.DataSourceRef(type_val="prometheus", uid="${datasource}")
# Of one process, and of a whole pipeline (what deploy/prometheus/recording.yaml records).
OF = '{job=~"$job", instance=~"$instance"}'
JOB = '{job=~"$job"}'
GOOD, WARN, BAD, QUIET = "#2f9e6e", "#e0a526", "#d64550", "#6b7a90"


def of(labels):
    return OF[:-1] + ", " + labels + "}"


def rate(metric, labels=""):
    return f"rate({metric}{of(labels) if labels else OF}[$__rate_interval])"


def or_zero(expression):
    """What may have no series in a healthy run still shows that it is none."""
    return f"{expression} or on() vector(0)"


def query(expression, legend, ref, instant=False):
    target = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref)
    if instant:
        return target.instant().format(p.PromQueryFormat.TABLE)
    return target.range()


def thresholds(steps):
    return (dashboard.ThresholdsConfig().mode(d.ThresholdsMode.ABSOLUTE)
            .steps([d.Threshold(value=value, color=color) for value, color in steps]))


def number(title, expression, unit, description, steps=((None, GOOD),), decimals=None, width=4):
    panel = (stat.Panel().title(title).description(description).datasource(DATASOURCE).unit(unit)
             .span(width).height(4).thresholds(thresholds(steps))
             .color_mode(c.BigValueColorMode.VALUE).graph_mode(c.BigValueGraphMode.AREA)
             .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
             .with_target(query(expression, title, "A")))
    return panel if decimals is None else panel.decimals(decimals)


def lines(title, unit, description, *queries, width=12, stacked=False, colors=None):
    panel = (timeseries.Panel().title(title).description(description).datasource(DATASOURCE)
             .unit(unit).span(width).height(8).min(0).line_width(1.5)
             .fill_opacity(60 if stacked else 8).show_points(c.VisibilityMode.NEVER)
             .legend(common.VizLegendOptions().display_mode(c.LegendDisplayMode.TABLE)
                     .placement(c.LegendPlacement.BOTTOM).show_legend(True).calcs(["lastNotNull", "max"]))
             .tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING)))
    if stacked:
        panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
    for index, (expression, legend) in enumerate(queries):
        panel.with_target(query(expression, legend, chr(ord("A") + index)))
    for name, color in (colors or {}).items():
        panel.override_by_name(name, [d.DynamicConfigValue(
            id_val="color", value={"mode": "fixed", "fixedColor": color})])
    return panel


def listing(title, expression, description, hidden=(), width=12):
    return (table.Panel().title(title).description(description).datasource(DATASOURCE).span(width).height(8)
            .with_target(query(expression, "", "A", instant=True))
            .with_transformation(d.DataTransformerConfig(id_val="organize", options={
                "excludeByName": {name: True for name in ("Time", "Value", *hidden)}})))


def variable(name, expression, label):
    return (dashboard.QueryVariable(name).label(label).datasource(DATASOURCE).query(expression)
            .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(d.VariableSort.ALPHABETICAL_ASC)
            .multi(True).include_all(True).current(d.VariableOption(selected=True, text="All", value="$__all")))


def board(name, title, description, rows):
    made = (dashboard.Dashboard(title).uid("sluice-" + name).description(description).tags(["sluice"])
            .editable().refresh("30s").time("now-1h", "now").timezone("browser")
            .tooltip(d.DashboardCursorSync.CROSSHAIR)
            .link(dashboard.DashboardLink("Sluice").type(d.DashboardLinkType.DASHBOARDS).tags(["sluice"])
                  .as_dropdown(True).keep_time(True).include_vars(True))
            .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
            .with_variable(variable("job", "label_values(sluice_build_info, job)", "Pipeline"))
            .with_variable(variable("instance", 'label_values(sluice_build_info{job=~"$job"}, instance)', "Instance")))
    for heading, panels in rows:
        made.with_row(dashboard.Row(heading))
        for panel in panels:
            made.with_panel(panel)
    return made.build()


QUARANTINED = rate("sluice_events_total", 'outcome="quarantined"')
OUTCOMES = {"clean": GOOD, "quarantined": WARN, "suppressed": QUIET}


def quantile(share, metric, by="le", labels=""):
    return f"histogram_quantile({share}, sum by ({by}) ({rate(metric + '_bucket', labels)}))"


def overview():
    return board("overview", "Sluice / Overview", "Is every event getting its result, and in time?", [
        ("Now", [
            number("Events", f"sum({rate('sluice_events_in_total')})", "eps",
                   "Raw events that got their results, per second."),
            number("Oldest event without a result", f"max(job:sluice_lag_seconds:max{JOB})", "s",
                   "Age, at most, of the oldest raw event that waits or isn't committed. Alerts from 2 minutes on.",
                   ((None, GOOD), (120, WARN), (600, BAD)), 1),
            number("Events without a result", f"max(instance:sluice_conservation_gap:abs{OF})", "short",
                   "What in = clean + quarantined + suppressed is off by. Anything that stays is an alarm.",
                   ((None, GOOD), (1, BAD)), 0),
            number("Quarantined", f"sum({QUARANTINED})"
                   f" / (sum({rate('sluice_events_in_total')}) > 0) or vector(0)", "percentunit",
                   "Share of events that broke their contract.", ((None, GOOD), (0.1, WARN), (0.5, BAD)), 1),
            number("Late", f"max(job:sluice_slow_events:ratio_rate1h{JOB})", "percentunit",
                   "Share of events, in the last hour, whose results came later than 10 s. The objective allows 1 %.",
                   ((None, GOOD), (0.01, WARN), (0.144, BAD)), 2),
            number("Alerts", 'count(ALERTS{alertname=~"Sluice.*", alertstate="firing"}) or vector(0)', "short",
                   "Alerts of deploy/prometheus/alerts.yaml that fire.", ((None, GOOD), (1, BAD)), 0),
        ]),
        ("Flow", [
            lines("Events by outcome", "eps", "What became of raw events, per second; committed ones only.",
                  (f"sum by (outcome) ({rate('sluice_events_total')})", "{{outcome}}"),
                  stacked=True, colors=OUTCOMES),
            lines("From raw event to committed result", "s",
                  "How long events take, from their timestamp to the commit of their results.",
                  *((quantile(share, "sluice_end_to_end_latency_seconds"), name)
                    for share, name in ((0.5, "half within"), (0.95, "95 % within"), (0.99, "99 % within"))),
                  colors={"half within": GOOD, "95 % within": WARN, "99 % within": BAD}),
            lines("Lag", "s", "By topic and partition: age, at most, of the oldest record that waits to be read.",
                  (f"max by (topic, partition) (sluice_lag_seconds{OF})", "{{topic}} / {{partition}}")),
            lines("Backlog", "short", "By topic and partition: records that wait to be read.",
                  (f"sum by (topic, partition) (sluice_lag_records{OF})", "{{topic}} / {{partition}}")),
        ]),
        ("Processes", [
            lines("Workers by state", "short", "Everything but running, and paused by a person, needs a look.",
                  (f"sum by (state) (sluice_worker_state{OF}) > 0", "{{state}}"), stacked=True,
                  colors={"running": GOOD, "paused": QUIET, "waiting": WARN, "recovering": WARN, "halted": BAD}),
            lines("Targets that answer", "short", "Processes that Prometheus can scrape, by job.",
                  ('sum by (job) (up{job=~"$job"})', "{{job}}")),
        ]),
    ])


def pipeline():
    per_transaction = rate("sluice_transactions_total")
    return board("pipeline", "Sluice / Pipeline", "Where the time of a batch goes, and where each partition stands.", [
        ("Stages", [
            lines("Time by stage", "percentunit",
                  "Share of a worker's time in each stage; what is missing to the number of workers is waiting.",
                  (f"sum by (stage) ({rate('sluice_stage_seconds_sum')})", "{{stage}}"), stacked=True),
            lines("One chunk", "s", "Mean time of one chunk in each stage; for commit, of one transaction.",
                  (f"sum by (stage) ({rate('sluice_stage_seconds_sum')})"
                   f" / sum by (stage) ({rate('sluice_stage_seconds_count')})", "{{stage}}")),
            lines("CPU per event", "s", "User and system time of the process for one raw event.",
                  (f"sum({rate('process_cpu_seconds_total')}) / sum({rate('sluice_events_in_total')})", "CPU per event"), width=8),
            lines("Events per transaction", "short", "More events make commits cheaper and results later.",
                  (f"sum({rate('sluice_events_in_total')}) / sum({per_transaction})", "events"), width=8),
            lines("Output", "Bps", "Bytes written to clean topics and quarantine, before compression.",
                  (f"sum({rate('sluice_output_bytes_total')})", "bytes"), width=8),
        ]),
        ("Transactions", [
            lines("Transactions", "ops", "Committed, and aborted and done again.",
                  (f"sum({per_transaction})", "committed"),
                  (or_zero(f"sum({rate('sluice_transaction_aborts_total')})"), "aborted"),
                  colors={"committed": GOOD, "aborted": BAD}, width=8),
            lines("Size of a transaction", "bytes", "Output of one transaction.",
                  (quantile(0.5, "sluice_batch_bytes"), "half within"),
                  (quantile(0.99, "sluice_batch_bytes"), "99 % within"), width=8),
            lines("Records written", "wps", "Of all topics, committed.",
                  (f"sum({rate('sluice_output_records_total')})", "records"), width=8),
        ]),
        ("Partitions", [
            lines("Progress", "eps", "How fast each partition's committed position moves. One at 0 with a backlog is stuck.",
                  (f"max by (topic, partition) (deriv(sluice_committed_offset{OF}[$__rate_interval]))",
                   "{{topic}} / {{partition}}")),
            lines("Backlog of the group", "short", "Records behind, under the customary name.",
                  (f"sum by (consumergroup, partition) (kafka_consumergroup_lag{OF})",
                   "{{consumergroup}} / {{partition}}")),
            lines("Oldest record in work", "s", "How long the oldest record that isn't committed has been in work, by worker.",
                  (f"max by (instance, worker) (sluice_oldest_uncommitted_seconds{OF})", "{{instance}} / {{worker}}")),
            lines("Client queues", "bytes", "Bytes that the Kafka clients hold; bounded by read_ahead_kib and write_queue_kib.",
                  (f"sum by (queue) (sluice_queue_bytes{OF})", "{{queue}}")),
        ]),
        ("Configuration", [
            lines("Editions taken", "short", "How often workers took another configuration or other snapshots, in the"
                  " window shown.",
                  (f"sum by (instance) (increase(sluice_edition_swap_seconds_count{OF}[$__rate_interval]))", "{{instance}}"),
                  width=6),
            lines("Time for an edition", "s", "How long a worker stood still for one, on average; 0 where none was taken.",
                  (or_zero(f"sum({rate('sluice_edition_swap_seconds_sum')})"
                           f" / (sum({rate('sluice_edition_swap_seconds_count')}) > 0)"), "mean"), width=6),
            lines("Reloads", "short", "Readings of a changed configuration, by result.",
                  (or_zero(f"sum by (result) (increase(sluice_config_reloads_total{OF}[$__rate_interval]))"), "{{result}}"),
                  width=6),
            lines("Reload refused", "short", "1: the configuration on disk was refused, and the one before it goes on.",
                  (f"max by (instance) (sluice_config_reload_refused{OF})", "{{instance}}"), width=6),
        ]),
    ])


def services():
    return board("services", "Sluice / Services", "The pseudonymiser and the reference service.", [
        ("Pseudonymiser", [
            number("Values", f"sum({rate('sluice_pseudonymiser_values_total')})", "ops",
                   "Values and pseudonyms treated, per second, whoever asked.", width=4),
            number("Oldest epoch", f"max(time() - sluice_key_epoch_begun_timestamp_seconds{OF})", "s",
                   "How long the domain that was rotated longest ago has made its pseudonyms under one epoch's keys. Alerts"
                   " from a year on.", ((None, GOOD), (300 * 86400, WARN), (365 * 86400, BAD)), 1),
            number("Callers locked", f"sum(sluice_pseudonymiser_locked_callers{OF})", "short",
                   "Callers that swept or missed too often, until somebody unlocks them.",
                   ((None, GOOD), (1, BAD)), 0),
            number("Calls refused", or_zero(
                f"sum(increase(sluice_pseudonymiser_refusals_total{OF}[1h]))"), "short",
                "Within the last hour, for whatever reason.", ((None, GOOD), (1, WARN), (100, BAD)), 0),
            number("Unpublished trail", f"sum(sluice_audit_unpublished_bytes{OF})", "bytes",
                   "What of the audit trail isn't in its topic yet; 0 where there is no topic.",
                   ((None, GOOD), (65536, WARN))),
            number("Memory locked", f"min(sluice_memory_locked{OF})", "short",
                   "1: keys can't be swapped out; 0: they could be.", ((None, WARN), (1, GOOD)), 0),
            lines("Calls to services by method", "reqps", "gRPC calls that have ended, at all services chosen.",
                  (f"sum by (job, method) ({rate('sluice_rpc_calls_total')})", "{{job}} {{method}}")),
            lines("Time of a call", "s", "Without the wire; 99 % of calls are within it, by method.",
                  (quantile(0.99, "sluice_rpc_call_seconds", by="le, method"), "{{method}}")),
            lines("Values by method", "ops", "Pseudonymise is what processors ask for; the others are acts of people.",
                  (f"sum by (method) ({rate('sluice_pseudonymiser_values_total')})", "{{method}}"), width=8),
            lines("Refusals", "ops", "By reason: a limit, a lock, the policy, a certificate.",
                  (or_zero(f"sum by (reason) ({rate('sluice_pseudonymiser_refusals_total')})"), "{{reason}}"), width=8),
            lines("Age of epochs", "s", "By domain: since the epoch that makes its new pseudonyms was begun.",
                  (f"time() - max by (domain) (sluice_key_epoch_begun_timestamp_seconds{OF})", "{{domain}}"), width=8),
            lines("Audit trail", "ops", "Lines written; and what couldn't be, whose acts weren't done.",
                  (f"sum({rate('sluice_audit_lines_total')})", "written"),
                  (f"sum({rate('sluice_audit_write_failures_total')})", "failed"),
                  colors={"written": GOOD, "failed": BAD}),
            lines("Re-identification", "ops", "Requests, approvals, redemptions and refusals.",
                  (or_zero(f"sum by (result) ({rate('sluice_reidentifications_total')})"), "{{result}}")),
        ]),
        ("Reference service", [
            lines("Rows", "short", "Of each set's active version.",
                  (f"max by (set) (sluice_reference_rows{OF})", "{{set}}"), width=8),
            lines("Since a set was loaded", "s", "How old the active version is, by set.",
                  (f"max by (set) (sluice_reference_age_seconds{OF})", "{{set}}"), width=8),
            lines("Since a source was looked at", "s", "With success; it rises where a source is away.",
                  (f"max by (set) (sluice_reference_looked_seconds{OF})", "{{set}}"), width=8),
            lines("Last confirmed", "s", "Since a set's source was last read in full and had the version in use.",
                  (f"max by (set) (sluice_reference_confirmed_seconds{OF})", "{{set}}"), width=8),
            lines("Rows that never hold", "short", "Rows of a set's source that begin and end at once: left out.",
                  (f"max by (set) (sluice_reference_rows_never_hold{OF})", "{{set}}"), width=8),
            lines("Readings", "ops", "Versions read from sources, by what became of them.",
                  (f"sum by (result) ({rate('sluice_reference_loads_total')})", "{{result}}"), width=8),
            lines("Refused or held", "short", "1: what the source has is refused, or a person holds the set at its version.",
                  (f"max by (set) (sluice_reference_refused{OF})", "{{set}} refused"),
                  (f"max by (set) (sluice_reference_held{OF})", "{{set}} held"), width=8),
            lines("Sent to processors", "Bps", "Snapshots, whole or as differences.",
                  (or_zero(f"sum by (kind) ({rate('sluice_reference_sent_bytes_total')})"), "{{kind}}"), width=8),
        ]),
    ])


def dependencies():
    return board("dependencies", "Sluice / Dependencies", "Brokers, reference sets, callers and the machine.", [
        ("Brokers", [
            lines("Commit", "s", "How long the brokers take to commit a transaction.",
                  (quantile(0.5, "sluice_stage_seconds", labels='stage="commit"'), "half within"),
                  (quantile(0.99, "sluice_stage_seconds", labels='stage="commit"'), "99 % within"),
                  colors={"half within": GOOD, "99 % within": BAD}),
            lines("Aborted transactions", "ops", "By what the brokers' answer called for. A rebalance may cost one.",
                  (or_zero(f"sum by (class) ({rate('sluice_transaction_aborts_total')})"), "{{class}}")),
            lines("New producer epochs", "ops", "By cause; `start` is a restart, `strict` is every transaction.",
                  (or_zero(f"sum by (cause) ({rate('sluice_producer_recreations_total')})"), "{{cause}}")),
            lines("Producer epochs that couldn't be had", "ops", "The coordinator refuses, or doesn't answer.",
                  (f"sum({rate('sluice_producer_recreation_failures_total')})", "failed"), colors={"failed": BAD}),
        ]),
        ("Services", [
            lines("Chunks held", "ops", "Chunks that wait because the pseudonymiser or a reference set is away.",
                  (f"sum({rate('sluice_dependency_unavailable_total')})", "held"), colors={"held": WARN}, width=8),
            lines("Pseudonymising a chunk", "s", "Time for the identifiers of one chunk, local or remote.",
                  (quantile(0.5, "sluice_stage_seconds", labels='stage="pseudonymise"'), "half within"),
                  (quantile(0.99, "sluice_stage_seconds", labels='stage="pseudonymise"'), "99 % within"), width=8),
            lines("Age of reference sets", "s", "Since the snapshot in use was loaded.",
                  (f"max by (set) (sluice_snapshot_age_seconds{OF})", "{{set}}"), width=8),
            listing("Snapshots in use", f"sluice_snapshot_info{OF} == 1",
                    "One line for each process and set; all of a set should have the same id.",
                    hidden=("__name__",)),
            lines("Unconfirmed for", "s",
                  "Since the reference service last said that the versions in use are current; 0 without one.",
                  (f"max by (instance) (sluice_reference_unconfirmed_seconds{OF})", "{{instance}}"), width=6),
            lines("Calls to the pseudonymiser", "reqps", "By the processors, by code.",
                  (or_zero(f"sum by (code) ({rate('sluice_key_service_calls_total')})"), "{{code}}"), width=6),
            lines("Waits for pinned versions", "ops",
                  "Chunks held because of the control topic or a version that it names, by reason; 0 without one.",
                  (or_zero(f"sum by (reason) ({rate('sluice_reference_pin_waits_total')})"), "{{reason}}"), width=6),
            lines("Joins without a row", "percentunit", "Share of events that don't find their row, by set and field.",
                  (f"max by (set, into) (job:sluice_joins_missed:ratio_rate5m{JOB})", "{{set}} into {{into}}"), width=6),
            lines("Joins", "eps", "By set and what came of them: a hit, or what the join does without a row.",
                  (f"sum by (set, result) ({rate('sluice_joins_total')})", "{{set}} {{result}}"), width=24),
        ]),
        ("Processes", [
            lines("Workers by state", "short", "Everything but running, and paused by a person, needs a look.",
                  (f"sum by (state) (sluice_worker_state{OF}) > 0", "{{state}}"), stacked=True,
                  colors={"running": GOOD, "paused": QUIET, "waiting": WARN, "recovering": WARN, "halted": BAD}),
            lines("Targets that answer", "short", "Processes that Prometheus can scrape, by job.",
                  ('sum by (job) (up{job=~"$job"})', "{{job}}")),
        ]),
    ])


def pipeline():
    per_transaction = rate("sluice_transactions_total")
    return board("pipeline", "Sluice / Pipeline", "Where the time of a batch goes, and where each partition stands.", [
        ("Stages", [
            lines("Time by stage", "percentunit",
                  "Share of a worker's time in each stage; what is missing to the number of workers is waiting.",
                  (f"sum by (stage) ({rate('sluice_stage_seconds_sum')})", "{{stage}}"), stacked=True),
            lines("One chunk", "s", "Mean time of one chunk in each stage; for commit, of one transaction.",
                  (f"sum by (stage) ({rate('sluice_stage_seconds_sum')})"
                   f" / sum by (stage) ({rate('sluice_stage_seconds_count')})", "{{stage}}")),
            lines("CPU per event", "s", "User and system time of the process for one raw event.",
                  (f"sum({rate('process_cpu_seconds_total')}) / sum({rate('sluice_events_in_total')})", "CPU per event"), width=8),
            lines("Events per transaction", "short", "More events make commits cheaper and results later.",
                  (f"sum({rate('sluice_events_in_total')}) / sum({per_transaction})", "events"), width=8),
            lines("Output", "Bps", "Bytes written to clean topics and quarantine, before compression.",
                  (f"sum({rate('sluice_output_bytes_total')})", "bytes"), width=8),
        ]),
        ("Transactions", [
            lines("Transactions", "ops", "Committed, and aborted and done again.",
                  (f"sum({per_transaction})", "committed"),
                  (or_zero(f"sum({rate('sluice_transaction_aborts_total')})"), "aborted"),
                  colors={"committed": GOOD, "aborted": BAD}, width=8),
            lines("Size of a transaction", "bytes", "Output of one transaction.",
                  (quantile(0.5, "sluice_batch_bytes"), "half within"),
                  (quantile(0.99, "sluice_batch_bytes"), "99 % within"), width=8),
            lines("Records written", "wps", "Of all topics, committed.",
                  (f"sum({rate('sluice_output_records_total')})", "records"), width=8),
        ]),
        ("Partitions", [
            lines("Progress", "eps", "How fast each partition's committed position moves. One at 0 with a backlog is stuck.",
                  (f"max by (topic, partition) (deriv(sluice_committed_offset{OF}[$__rate_interval]))",
                   "{{topic}} / {{partition}}")),
            lines("Backlog of the group", "short", "Records behind, under the customary name.",
                  (f"sum by (consumergroup, partition) (kafka_consumergroup_lag{OF})",
                   "{{consumergroup}} / {{partition}}")),
            lines("Oldest record in work", "s", "How long the oldest record that isn't committed has been in work, by worker.",
                  (f"max by (instance, worker) (sluice_oldest_uncommitted_seconds{OF})", "{{instance}} / {{worker}}")),
            lines("Client queues", "bytes", "Bytes that the Kafka clients hold; bounded by read_ahead_kib and write_queue_kib.",
                  (f"sum by (queue) (sluice_queue_bytes{OF})", "{{queue}}")),
        ]),
        ("Configuration", [
            lines("Editions taken", "short", "How often workers took another configuration or other snapshots, in the"
                  " window shown.",
                  (f"sum by (instance) (increase(sluice_edition_swap_seconds_count{OF}[$__rate_interval]))", "{{instance}}"),
                  width=6),
            lines("Time for an edition", "s", "How long a worker stood still for one, on average; 0 where none was taken.",
                  (or_zero(f"sum({rate('sluice_edition_swap_seconds_sum')})"
                           f" / (sum({rate('sluice_edition_swap_seconds_count')}) > 0)"), "mean"), width=6),
            lines("Reloads", "short", "Readings of a changed configuration, by result.",
                  (or_zero(f"sum by (result) (increase(sluice_config_reloads_total{OF}[$__rate_interval]))"), "{{result}}"),
                  width=6),
            lines("Reload refused", "short", "1: the configuration on disk was refused, and the one before it goes on.",
                  (f"max by (instance) (sluice_config_reload_refused{OF})", "{{instance}}"), width=6),
        ]),
    ])


def services():
    return board("services", "Sluice / Services", "The pseudonymiser and the reference service.", [
        ("Pseudonymiser", [
            number("Values", f"sum({rate('sluice_pseudonymiser_values_total')})", "ops",
                   "Values and pseudonyms treated, per second, whoever asked.", width=4),
            number("Oldest epoch", f"max(time() - sluice_key_epoch_begun_timestamp_seconds{OF})", "s",
                   "How long the domain that was rotated longest ago has made its pseudonyms under one epoch's keys. Alerts"
                   " from a year on.", ((None, GOOD), (300 * 86400, WARN), (365 * 86400, BAD)), 1),
            number("Callers locked", f"sum(sluice_pseudonymiser_locked_callers{OF})", "short",
                   "Callers that swept or missed too often, until somebody unlocks them.",
                   ((None, GOOD), (1, BAD)), 0),
            number("Calls refused", or_zero(
                f"sum(increase(sluice_pseudonymiser_refusals_total{OF}[1h]))"), "short",
                "Within the last hour, for whatever reason.", ((None, GOOD), (1, WARN), (100, BAD)), 0),
            number("Unpublished trail", f"sum(sluice_audit_unpublished_bytes{OF})", "bytes",
                   "What of the audit trail isn't in its topic yet; 0 where there is no topic.",
                   ((None, GOOD), (65536, WARN))),
            number("Memory locked", f"min(sluice_memory_locked{OF})", "short",
                   "1: keys can't be swapped out; 0: they could be.", ((None, WARN), (1, GOOD)), 0),
            lines("Calls to services by method", "reqps", "gRPC calls that have ended, at all services chosen.",
                  (f"sum by (job, method) ({rate('sluice_rpc_calls_total')})", "{{job}} {{method}}")),
            lines("Time of a call", "s", "Without the wire; 99 % of calls are within it, by method.",
                  (quantile(0.99, "sluice_rpc_call_seconds", by="le, method"), "{{method}}")),
            lines("Values by method", "ops", "Pseudonymise is what processors ask for; the others are acts of people.",
                  (f"sum by (method) ({rate('sluice_pseudonymiser_values_total')})", "{{method}}"), width=8),
            lines("Refusals", "ops", "By reason: a limit, a lock, the policy, a certificate.",
                  (or_zero(f"sum by (reason) ({rate('sluice_pseudonymiser_refusals_total')})"), "{{reason}}"), width=8),
            lines("Age of epochs", "s", "By domain: since the epoch that makes its new pseudonyms was begun.",
                  (f"time() - max by (domain) (sluice_key_epoch_begun_timestamp_seconds{OF})", "{{domain}}"), width=8),
            lines("Audit trail", "ops", "Lines written; and what couldn't be, whose acts weren't done.",
                  (f"sum({rate('sluice_audit_lines_total')})", "written"),
                  (f"sum({rate('sluice_audit_write_failures_total')})", "failed"),
                  colors={"written": GOOD, "failed": BAD}),
            lines("Re-identification", "ops", "Requests, approvals, redemptions and refusals.",
                  (or_zero(f"sum by (result) ({rate('sluice_reidentifications_total')})"), "{{result}}")),
        ]),
        ("Reference service", [
            lines("Rows", "short", "Of each set's active version.",
                  (f"max by (set) (sluice_reference_rows{OF})", "{{set}}"), width=8),
            lines("Since a set was loaded", "s", "How old the active version is, by set.",
                  (f"max by (set) (sluice_reference_age_seconds{OF})", "{{set}}"), width=8),
            lines("Since a source was looked at", "s", "With success; it rises where a source is away.",
                  (f"max by (set) (sluice_reference_looked_seconds{OF})", "{{set}}"), width=8),
            lines("Last confirmed", "s", "Since a set's source was last read in full and had the version in use.",
                  (f"max by (set) (sluice_reference_confirmed_seconds{OF})", "{{set}}"), width=8),
            lines("Rows that never hold", "short", "Rows of a set's source that begin and end at once: left out.",
                  (f"max by (set) (sluice_reference_rows_never_hold{OF})", "{{set}}"), width=8),
            lines("Readings", "ops", "Versions read from sources, by what became of them.",
                  (f"sum by (result) ({rate('sluice_reference_loads_total')})", "{{result}}"), width=8),
            lines("Refused or held", "short", "1: what the source has is refused, or a person holds the set at its version.",
                  (f"max by (set) (sluice_reference_refused{OF})", "{{set}} refused"),
                  (f"max by (set) (sluice_reference_held{OF})", "{{set}} held"), width=8),
            lines("Sent to processors", "Bps", "Snapshots, whole or as differences.",
                  (or_zero(f"sum by (kind) ({rate('sluice_reference_sent_bytes_total')})"), "{{kind}}"), width=8),
        ]),
    ])


def dependencies():
    return board("dependencies", "Sluice / Dependencies", "Brokers, reference sets, callers and the machine.", [
        ("Brokers", [
            lines("Commit", "s", "How long the brokers take to commit a transaction.",
                  (quantile(0.5, "sluice_stage_seconds", labels='stage="commit"'), "half within"),
                  (quantile(0.99, "sluice_stage_seconds", labels='stage="commit"'), "99 % within"),
                  colors={"half within": GOOD, "99 % within": BAD}),
            lines("Aborted transactions", "ops", "By what the brokers' answer called for. A rebalance may cost one.",
                  (or_zero(f"sum by (class) ({rate('sluice_transaction_aborts_total')})"), "{{class}}")),
            lines("New producer epochs", "ops", "By cause; `start` is a restart, `strict` is every transaction.",
                  (or_zero(f"sum by (cause) ({rate('sluice_producer_recreations_total')})"), "{{cause}}")),
            lines("Producer epochs that couldn't be had", "ops", "The coordinator refuses, or doesn't answer.",
                  (f"sum({rate('sluice_producer_recreation_failures_total')})", "failed"), colors={"failed": BAD}),
        ]),
        ("Services", [
            lines("Chunks held", "ops", "Chunks that wait because the pseudonymiser or a reference set is away.",
                  (f"sum({rate('sluice_dependency_unavailable_total')})", "held"), colors={"held": WARN}, width=8),
            lines("Pseudonymising a chunk", "s", "Time for the identifiers of one chunk, local or remote.",
                  (quantile(0.5, "sluice_stage_seconds", labels='stage="pseudonymise"'), "half within"),
                  (quantile(0.99, "sluice_stage_seconds", labels='stage="pseudonymise"'), "99 % within"), width=8),
            lines("Age of reference sets", "s", "Since the snapshot in use was loaded.",
                  (f"max by (set) (sluice_snapshot_age_seconds{OF})", "{{set}}"), width=8),
            listing("Snapshots in use", f"sluice_snapshot_info{OF} == 1",
                    "One line for each process and set; all of a set should have the same id.",
                    hidden=("__name__",)),
            lines("Unconfirmed for", "s",
                  "Since the reference service last said that the versions in use are current; 0 without one.",
                  (f"max by (instance) (sluice_reference_unconfirmed_seconds{OF})", "{{instance}}"), width=6),
            lines("Calls to the pseudonymiser", "reqps", "By the processors, by code.",
                  (or_zero(f"sum by (code) ({rate('sluice_key_service_calls_total')})"), "{{code}}"), width=6),
            lines("Waits for pinned versions", "ops",
                  "Chunks held because of the control topic or a version that it names, by reason; 0 without one.",
                  (or_zero(f"sum by (reason) ({rate('sluice_reference_pin_waits_total')})"), "{{reason}}"), width=6),
            lines("Joins without a row", "percentunit", "Share of events that don't find their row, by set and field.",
                  (f"max by (set, into) (job:sluice_joins_missed:ratio_rate5m{JOB})", "{{set}} into {{into}}"), width=6),
            lines("Joins", "eps", "By set and what came of them: a hit, or what the join does without a row.",
                  (f"sum by (set, result) ({rate('sluice_joins_total')})", "{{set}} {{result}}"), width=12),
            lines("Calls", "reqps", "gRPC calls that have ended, by method and code.",
                  (or_zero(f"sum by (method, code) ({rate('sluice_rpc_calls_total')})"), "{{method}} {{code}}")),
        ]),
        ("Processes", [
            lines("Memory", "bytes", "Resident memory.",
                  (f"sum by (instance) (process_resident_memory_bytes{OF})", "{{instance}}"), width=6),
            lines("Share of the memory limit", "percentunit",
                  "Of the least limit of the control groups; 0 where none is set. Alerts from 90 % on.",
                  (f"max by (instance) (instance:process_memory:ratio{OF})", "{{instance}}"), width=6),
            lines("CPU", "percentunit", "Cores in use.",
                  (f"sum by (instance) ({rate('process_cpu_seconds_total')})", "{{instance}}"), width=6),
            lines("Open files", "percentunit", "Share of the file descriptors that may be open.",
                  (f"max by (instance) (process_open_fds{OF} / process_max_fds{OF})", "{{instance}}"), width=6),
        ]),
    ])


def privacy():
    return board("privacy", "Sluice / Privacy", "What was refused, repaired or dropped, and who asked for what.", [
        ("Now", [
            number("Quarantined", f"sum({QUARANTINED})", "eps",
                   "Events that broke their contract, per second; sealed, kept, and re-driven later.", width=6),
            number("Fields that nobody classified", f"sum({rate('sluice_unknown_fields_total')})", "ops",
                   "Fields that the contract doesn't know, per second: dropped, never passed on.",
                   ((None, GOOD), (0.1, WARN)), 2, width=6),
            number("Calls denied", or_zero(
                "sum(increase(sluice_rpc_calls_total" + of('code=~"PERMISSION_DENIED|UNAUTHENTICATED"') + "[1h]))"),
                "short", "Within the last hour.", ((None, GOOD), (1, WARN), (5, BAD)), 0, width=6),
            number("Plans in use", f"count(count by (plan) (sluice_plan_info{OF} == 1))", "short",
                   "Different hashes of contract and pipeline; more than one per pipeline only during a roll-out.",
                   ((None, GOOD),), 0, width=6),
        ]),
        ("Contracts", [
            lines("Rules broken", "ops", "The ten that most events break. Rules and field paths, never values.",
                  (or_zero(f"topk(10, sum by (rule) ({rate('sluice_violations_total')}))"), "{{rule}}")),
            lines("Repairs", "ops", "Untidy values that were read as the contract says, by field and kind.",
                  (or_zero(f"topk(10, sum by (field, kind) ({rate('sluice_repairs_total')}))"), "{{field}}: {{kind}}")),
            lines("Share in quarantine", "percentunit", "Of raw events, over five minutes.",
                  (f"job:sluice_quarantined:ratio_rate5m{JOB}", "{{job}}"), width=8),
            lines("Repairs per event", "short", "Over five minutes; the alert compares it with the day before.",
                  (f"job:sluice_repairs:ratio_rate5m{JOB}", "{{job}}"), width=8),
            lines("Unknown fields per event", "percentunit", "Over five minutes.",
                  (f"job:sluice_unknown_fields:ratio_rate5m{JOB}", "{{job}}"), width=8),
        ]),
        ("Authority", [
            lines("Privileged calls", "reqps", "Explain and Process answer with pseudonyms; Pause and Resume stop the flow.",
                  (or_zero("sum by (method) (" + rate("sluice_rpc_calls_total",
                   'method=~"Explain|Process|Pause|Resume"') + ")"), "{{method}}")),
            listing("Plans", f"sluice_plan_info{OF} == 1",
                    "What each process runs: header `sluice-plan` of every record names the same hash.",
                    hidden=("__name__",)),
        ]),
    ])


DASHBOARDS = {"overview": overview, "pipeline": pipeline, "services": services, "dependencies": dependencies,
              "privacy": privacy}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, make in DASHBOARDS.items():
        with open(os.path.join(sys.argv[1], name + ".json"), "w", encoding="utf-8") as file:
            file.write(json.dumps(make(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
