// Rows of a result, however many: only those in sight are made. Where they would be higher than a browser can scroll, the
// scroll bar stands for a share of them instead of their pixels.
import clsx from "clsx";
import { type ReactNode, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Cell } from "@/sql/rows";
import { CopyButton } from "./basics";
import { Dialog } from "./overlays";

const kRow = 30;
const kMostPixels = 8_000_000;
const kNumbers = new Set([20, 21, 23, 26, 700, 701, 790, 1700]);

export interface GridColumn {
  name: string;
  type: number;
}

export interface GridRows {
  length: number;
  at(index: number): Cell[];
}

interface Props {
  columns: GridColumn[];
  rows: GridRows;
  height?: number; // Of all of it; without: as much as there is room.
  version?: number; // Changes when rows were added.
  className?: string;
  header?: (column: GridColumn, index: number) => ReactNode;
  // In place of a cell's text, for editing; undefined: the text.
  cell?: (row: number, column: number, value: Cell) => ReactNode | undefined;
  rowLead?: (row: number) => ReactNode;
  onOpen?: (row: number, column: number) => void; // Instead of showing the cell.
}

// As wide as the head and the first rows need.
function widthsOf(columns: GridColumn[], rows: GridRows): number[] {
  const seen = Math.min(rows.length, 60);
  const widest = columns.map((column) => column.name.length + 2);
  for (let i = 0; i < seen; i++) rows.at(i).forEach((cell, k) => (widest[k] = Math.max(widest[k] ?? 0, cell?.length ?? 4)));
  return widest.map((characters) => Math.min(380, Math.max(64, characters * 7.6 + 26)));
}

export function ResultGrid({ columns, rows, height, version = 0, className, header, cell, rowLead, onOpen }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: height ?? 400 });
  const [opened, setOpened] = useState<{ name: string; value: Cell } | null>(null);
  const [selected, setSelected] = useState<[number, number] | null>(null);
  useLayoutEffect(() => {
    const element = frame.current!;
    const observer = new ResizeObserver(() => setView((before) => ({ ...before, height: element.clientHeight })));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const filled = rows.length > 0;
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const widths = useMemo(() => widthsOf(columns, rows), [columns, rows, filled]);
  const lead = rowLead ? 44 : Math.max(44, String(rows.length).length * 8 + 20);
  const total = lead + widths.reduce((sum, width) => sum + width, 0);
  const full = rows.length * kRow;
  const shownPixels = Math.min(full, kMostPixels);
  const room = Math.max(1, view.height - kRow);
  const scale = shownPixels > room ? (full - room) / (shownPixels - room) : 1;
  const top = Math.max(0, Math.min(view.top, shownPixels - room)) * scale;
  const first = Math.max(0, Math.floor(top / kRow) - 4);
  const last = Math.min(rows.length, Math.ceil((top + room) / kRow) + 4);
  // Where the first row stands in the inner element, so that what is in sight is at its place.
  const shift = first * kRow - top + Math.max(0, Math.min(view.top, shownPixels - room));
  const indices = Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i);
  void version;
  return (
    <>
      <div
        ref={frame}
        role="grid"
        aria-label="Rows"
        aria-rowcount={rows.length + 1}
        aria-colcount={columns.length}
        tabIndex={0}
        onScroll={(event) => {
          const { scrollTop } = event.currentTarget;
          setView((before) => ({ ...before, top: scrollTop }));
        }}
        className={clsx("scroll-thin relative overflow-auto bg-surface text-[13px] -outline-offset-2", className)}
        style={height ? { height } : { height: "100%" }}
      >
        <div style={{ width: total, minWidth: "100%" }}>
          <div role="row" className="sticky top-0 z-10 flex border-b bg-sunken font-medium" style={{ height: kRow }}>
            <div role="columnheader" className="shrink-0 border-r" style={{ width: lead }}>
              <span className="sr-only">Row</span>
            </div>
            {columns.map((column, i) => (
              <div key={i} role="columnheader" className="flex shrink-0 items-center overflow-hidden border-r px-2.5" style={{ width: widths[i] }}>
                {header ? header(column, i) : <span className="truncate">{column.name}</span>}
              </div>
            ))}
          </div>
          <div className="relative" style={{ height: shownPixels }}>
            <div className="absolute inset-x-0" style={{ transform: `translateY(${shift}px)` }}>
              {indices.map((index) => {
                const cells = rows.at(index);
                return (
                  <div key={index} role="row" aria-rowindex={index + 2} className="flex border-b hover:bg-sunken" style={{ height: kRow }}>
                    <div
                      role="rowheader"
                      className="tabular flex shrink-0 items-center justify-end border-r px-2 text-xs text-faint select-none"
                      style={{ width: lead }}
                    >
                      {rowLead ? rowLead(index) : index + 1}
                    </div>
                    {columns.map((column, k) => {
                      const value = cells[k] ?? null;
                      const other = cell?.(index, k, value);
                      const chosen = selected?.[0] === index && selected[1] === k;
                      return (
                        <div
                          key={k}
                          role="gridcell"
                          onClick={() => setSelected([index, k])}
                          onDoubleClick={() => (onOpen ? onOpen(index, k) : setOpened({ name: column.name, value }))}
                          className={clsx(
                            "flex shrink-0 items-center overflow-hidden border-r font-mono text-[12px]",
                            other === undefined && "px-2.5",
                            kNumbers.has(column.type) && "justify-end",
                            chosen && "ring-1 ring-glow ring-inset",
                          )}
                          style={{ width: widths[k] }}
                        >
                          {other !== undefined ? (
                            other
                          ) : value === null ? (
                            <span className="text-faint italic">null</span>
                          ) : (
                            <span className="truncate whitespace-pre">{value.length > 400 ? `${value.slice(0, 400)}…` : value}</span>
                          )}
                        </div>
                      );
                    })}
                  </div>
                );
              })}
            </div>
          </div>
        </div>
      </div>
      <Dialog open={opened !== null} onOpenChange={() => setOpened(null)} title={opened?.name ?? ""} wide>
        <div className="mb-2 flex justify-end">
          <CopyButton text={opened?.value ?? ""} label="Copy value" />
        </div>
        <pre className="scroll-thin max-h-[60dvh] overflow-auto rounded-lg border bg-sunken p-3 font-mono text-xs break-all whitespace-pre-wrap" tabIndex={0}>
          {pretty(opened?.value ?? null)}
        </pre>
      </Dialog>
    </>
  );
}

function pretty(value: Cell): string {
  if (value === null) return "null";
  if (/^\s*[[{]/.test(value)) {
    try {
      return JSON.stringify(JSON.parse(value), null, 2);
    } catch {
      return value;
    }
  }
  return value;
}
