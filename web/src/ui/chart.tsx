// A line chart over time. Where there are no samples (a compute at rest) there is no line.
import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { useTheme } from "@/shell/theme";

export interface Series {
  name: string;
  values: (number | null)[];
  colour: number; // 1 to 5.
  fill?: boolean;
}

interface Props {
  title: string;
  times: number[];
  series: Series[];
  from: number;
  to: number;
  format: (value: number) => string;
  most?: number;
  sync: string;
}

export function Chart({ title, times, series, from, to, format, most, sync }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const { dark } = useTheme();
  useEffect(() => {
    const element = place.current!;
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--faint"), font: "11px Inter Variable", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const show = (plot: uPlot) => {
      const index = plot.cursor.idx;
      const note = tip.current;
      if (!note) return;
      if (index === null || index === undefined || plot.cursor.left! < 0) return void (note.textContent = "");
      const at = new Date(times[index] * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
      note.textContent = `${at}  ${series.map((one) => `${one.name} ${one.values[index] === null ? "–" : format(one.values[index]!)}`).join(" · ")}`;
    };
    const plot = new uPlot(
      {
        width: element.clientWidth,
        height: 150,
        padding: [8, 4, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: sync }, y: false, points: { size: 6 } },
        scales: { x: { min: from, max: to }, y: { range: (_, __, top) => [0, most ?? Math.max(top * 1.1, 1e-9)] } },
        axes: [
          { ...axis, size: 24, space: 70, values: (_, ticks) => ticks.map((tick) => label(tick, to - from)) },
          { ...axis, size: 62, space: 34, values: (_, ticks) => ticks.map(format) },
        ],
        series: [
          {},
          ...series.map((one) => ({
            label: one.name,
            stroke: colour(`--chart-${one.colour}`),
            width: 1.75,
            fill: one.fill ? `color-mix(in oklab, ${colour(`--chart-${one.colour}`)} 16%, transparent)` : undefined,
            points: { show: times.length < 3 },
            spanGaps: false,
          })),
        ],
        hooks: { setCursor: [show] },
      },
      [times, ...series.map((one) => one.values)],
      element,
    );
    const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 150 }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [times, series, from, to, format, most, sync, dark]);
  const last = (one: Series) => one.values.findLast((value) => value !== null);
  return (
    <figure className="min-w-0 rounded-xl border bg-surface p-4" aria-label={title}>
      <figcaption className="mb-2 flex flex-wrap items-baseline gap-x-4 gap-y-1">
        <span className="text-[13px] font-semibold">{title}</span>
        {series.map((one) => (
          <span key={one.name} className="inline-flex items-center gap-1.5 text-xs text-muted">
            <span className="size-2 rounded-full" style={{ background: `var(--chart-${one.colour})` }} aria-hidden />
            {one.name} <span className="tabular text-ink">{last(one) === undefined ? "–" : format(last(one)!)}</span>
          </span>
        ))}
      </figcaption>
      <div className="relative">
        <div ref={place} className="h-[150px]" aria-hidden />
        {!series.some((one) => one.values.some((value) => value !== null)) && (
          <p className="absolute inset-0 flex items-center justify-center bg-surface/70 pb-6 text-[13px] text-muted">No samples in this time</p>
        )}
      </div>
      <div ref={tip} className="tabular h-4 truncate text-2xs text-muted" aria-hidden />
    </figure>
  );
}

function label(seconds: number, span: number): string {
  const date = new Date(seconds * 1000);
  return span > 2 * 86400
    ? date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })
    : date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}
