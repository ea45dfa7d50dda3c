// The charts of one compute, from the platform's own samples.
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo } from "react";
import { ApiError, http, path } from "@/api/client";
import type { Metrics } from "@/api/types";
import { Problem, Skeleton } from "@/ui/basics";
import type { Series } from "@/ui/chart";
import { bytes, milliseconds } from "@/ui/format";

const Chart = lazy(() => import("@/ui/chart").then((module) => ({ default: module.Chart })));

// Lines break where a sample is missing: at its beginning and its end there is a point of nothing.
function withGaps(metrics: Metrics, values: Value): { times: number[]; values: (number | null)[] } {
  const times: number[] = [];
  const out: (number | null)[] = [];
  metrics.times.forEach((at, i) => {
    const before = metrics.times[i - 1];
    if (before !== undefined && at - before > metrics.seconds[i] * 2.5) {
      times.push(before + 1, at - metrics.seconds[i]);
      out.push(null, null);
    }
    times.push(at);
    out.push(values(i));
  });
  return { times, values: out };
}

// Null: there was nothing to take a share of.
type Value = (index: number) => number | null;

const share = (value: number) => `${Math.round(value * 100)} %`;
const plain = (value: number) => (value >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(value < 1 ? 2 : 1));
const perSecond = (value: number) => `${plain(value)}/s`;
const bytesPerSecond = (value: number) => `${bytes(Math.round(value))}/s`;
const wholeBytes = (value: number) => bytes(Math.round(value));
const cores = (value: number) => `${value.toFixed(2)}`;

export function Charts({ project, endpoint, range }: { project: string; endpoint: string; range: number }) {
  const metrics = useQuery({
    queryKey: ["project", project, "metrics", endpoint, range],
    queryFn: async ({ signal }) => {
      const to = Math.floor(Date.now() / 1000);
      const query = `?from=${to - range}&to=${to}`;
      return (await http.get<{ metrics: Metrics }>(path`/projects/${project}/endpoints/${endpoint}/metrics` + query, signal)).metrics;
    },
    refetchInterval: 15_000,
    placeholderData: (before, query) => (query?.queryKey[3] === endpoint ? before : undefined),
  });
  const charts = useMemo(() => (metrics.data ? chartsOf(metrics.data) : []), [metrics.data]);
  if (metrics.error && !metrics.data)
    return metrics.error instanceof ApiError && metrics.error.status === 404 ? null : <Problem error={metrics.error} retry={() => void metrics.refetch()} />;
  if (!metrics.data) return <Skeleton className="h-60" />;
  return (
    <div className="grid gap-4 md:grid-cols-2">
      <Suspense fallback={<Skeleton className="h-52" />}>
        {charts.map((chart) => (
          <Chart key={chart.title} sync={endpoint} from={metrics.data.from} to={metrics.data.to} {...chart} />
        ))}
      </Suspense>
    </div>
  );
}

interface ChartOf {
  title: string;
  times: number[];
  series: Series[];
  format: (value: number) => string;
  most?: number;
}

function chartsOf(metrics: Metrics): ChartOf[] {
  const of = metrics.series;
  const rate = (name: string) => (i: number) => (of[name]?.[i] ?? 0) / metrics.seconds[i];
  const level = (name: string) => (i: number) => of[name]?.[i] ?? 0;
  const each = (sum: string, number: string) => (i: number) => (of[number]?.[i] ? of[sum][i] / of[number][i] / 1000 : 0);
  const chart = (
    title: string,
    format: (value: number) => string,
    lines: [string, Value, number, boolean?][],
    most?: number,
  ): ChartOf => {
    const drawn = lines.map(([name, values, colour, fill]) => ({ name, colour, fill, ...withGaps(metrics, values) }));
    return { title, format, most, times: drawn[0].times, series: drawn.map(({ name, colour, fill, values }) => ({ name, colour, fill, values })) };
  };
  return [
    chart("Awake", share, [["of the time", (i) => (of.active_us[i] ?? 0) / 1e6 / metrics.seconds[i], 1, true]], 1),
    chart("Clients", plain, [
      ["at work", level("active_clients"), 1],
      ["waiting", level("waiting_clients"), 5],
      ["idle or parked", level("idle_clients"), 2],
      ["pinned", level("pinned_clients"), 4],
    ]),
    chart("Queries", perSecond, [
      ["queries", rate("queries"), 1, true],
      ["transactions", rate("transactions"), 2],
    ]),
    chart("Latency, average", milliseconds, [
      ["with all waiting", each("request_us", "queries"), 1, true],
      ["of it waiting", each("wait_us", "queries"), 5],
    ]),
    chart(
      "Cache hit",
      share,
      [["of blocks found in Postgres' memory", (i) => (of.blocks_hit?.[i] || of.blocks_read?.[i] ? of.blocks_hit[i] / (of.blocks_hit[i] + of.blocks_read[i]) : null), 3]],
      1,
    ),
    chart("CPU, cores", cores, [["used", (i) => (of.cpu_us[i] ?? 0) / 1e6 / metrics.seconds[i], 2, true]]),
    chart("Memory", wholeBytes, [["used", level("memory_bytes"), 2, true]]),
    chart("Write-ahead log", bytesPerSecond, [["written", rate("wal_bytes"), 3, true]]),
    chart("Traffic", bytesPerSecond, [
      ["from clients", rate("received"), 3],
      ["to clients", rate("sent"), 4],
    ]),
    chart("Storage", wholeBytes, [
      ["data", level("logical_bytes"), 2],
      ["own storage", level("own_bytes"), 3],
    ]),
    chart("Server connections", plain, [["open", level("servers"), 2, true]]),
    chart("Wakes", plain, [["in each sample", level("wakes"), 1]]),
  ];
}
