// Parts of the grid of a table's rows: marks for deletion, a cell that is being edited, filters.
import clsx from "clsx";
import { Trash2, X } from "lucide-react";
import { useRef, useState } from "react";
import type { Cell } from "@/sql/rows";
import { type Filter, operators, type TableDetails } from "@/sql/table-data";
import { Button, IconButton, Input, Select } from "@/ui/basics";

export function RowMark({ number, marked, onToggle }: { number: number; marked: boolean; onToggle: () => void }) {
  return (
    <button type="button" onClick={onToggle} aria-label={marked ? `Keep row ${number}` : `Delete row ${number}`} className="group flex items-center">
      <span className={clsx("group-hover:hidden group-focus-visible:hidden", marked && "hidden")}>{number}</span>
      <Trash2 className={clsx("size-3.5 group-hover:block group-focus-visible:block", marked ? "block text-bad" : "hidden")} aria-hidden />
    </button>
  );
}

export function CellEditor({ value, nullable, onDone, onCancel }: { value: Cell; nullable: boolean; onDone: (value: Cell) => void; onCancel: () => void }) {
  const [text, setText] = useState(value ?? "");
  const over = useRef(false);
  const finish = (action: () => void) => {
    if (over.current) return;
    over.current = true;
    action();
  };
  return (
    <span className="flex h-full w-full items-center bg-surface ring-2 ring-glow ring-inset">
      <input
        autoFocus
        aria-label="New value"
        value={text}
        placeholder={value === null ? "null" : ""}
        onChange={(event) => setText(event.target.value)}
        onFocus={(event) => event.target.select()}
        onBlur={() => finish(() => (text === (value ?? "") ? onCancel() : onDone(text)))}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === "Enter") finish(() => onDone(text));
          if (event.key === "Escape") finish(onCancel);
        }}
        className="h-full min-w-0 flex-1 bg-transparent px-2.5 outline-none"
      />
      {nullable && (
        <button
          type="button"
          onMouseDown={(event) => {
            event.preventDefault();
            finish(() => onDone(null));
          }}
          className="mr-1 rounded border px-1 text-2xs text-muted"
        >
          NULL
        </button>
      )}
    </span>
  );
}

export function Filters({ details, filters, onChange }: { details: TableDetails; filters: Filter[]; onChange: (filters: Filter[]) => void }) {
  const [draft, setDraft] = useState<Filter[]>(filters.length ? filters : [{ column: details.columns[0]?.name ?? "", operator: "=", value: "" }]);
  const change = (index: number, part: Partial<Filter>) => setDraft(draft.map((one, i) => (i === index ? { ...one, ...part } : one)));
  return (
    <form
      className="space-y-2 border-b bg-sunken px-4 py-3"
      onSubmit={(event) => {
        event.preventDefault();
        onChange(draft);
      }}
    >
      {draft.map((filter, i) => (
        <div key={i} className="flex flex-wrap items-center gap-2">
          <Select aria-label="Column" className="w-40!" value={filter.column} onChange={(event) => change(i, { column: event.target.value })}>
            {details.columns.map((column) => <option key={column.name}>{column.name}</option>)}
          </Select>
          <Select aria-label="Comparison" className="w-32!" value={filter.operator} onChange={(event) => change(i, { operator: event.target.value as Filter["operator"] })}>
            {operators.map((one) => <option key={one}>{one}</option>)}
          </Select>
          {!filter.operator.startsWith("is") && (
            <Input aria-label="Value" className="w-48!" value={filter.value} onChange={(event) => change(i, { value: event.target.value })} />
          )}
          <IconButton label="Take the filter away" onClick={() => setDraft(draft.filter((_, k) => k !== i))}>
            <X aria-hidden />
          </IconButton>
        </div>
      ))}
      <div className="flex gap-2">
        <Button size="sm" look="quiet" onClick={() => setDraft([...draft, { column: details.columns[0].name, operator: "=", value: "" }])}>
          Add a condition
        </Button>
        <Button type="submit" size="sm" look="solid">
          Apply
        </Button>
      </div>
    </form>
  );
}
