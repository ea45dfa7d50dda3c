// A table's columns, indexes and constraints.
import type { TableDetails } from "@/sql/table-data";
import { Badge, Card } from "@/ui/basics";

export function Structure({ details }: { details: TableDetails }) {
  return (
    <div className="scroll-thin min-h-0 flex-1 space-y-5 overflow-auto p-4" tabIndex={0} role="region" aria-label="Structure">
      <Card className="overflow-x-auto">
        <table className="w-full text-left text-[13px]">
          <thead className="border-b text-xs text-muted [&_th]:px-4 [&_th]:py-2 [&_th]:font-medium">
            <tr>
              <th>Column</th>
              <th>Type</th>
              <th>Null</th>
              <th>Default</th>
            </tr>
          </thead>
          <tbody>
            {details.columns.map((column) => (
              <tr key={column.name} className="border-b last:border-0 [&>td]:px-4 [&>td]:py-2">
                <td className="font-medium">
                  {column.name} {column.key && <Badge tone="accent">key</Badge>}
                </td>
                <td className="font-mono text-xs">{column.type}</td>
                <td className="text-muted">{column.notNull ? "no" : "yes"}</td>
                <td className="font-mono text-xs text-muted">{column.default}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Card>
      {(
        [
          ["Indexes", details.indexes],
          ["Constraints", details.constraints],
        ] as const
      ).map(([name, list]) => (
        <Card key={name}>
          <h3 className="border-b px-4 py-2.5 text-[13px] font-semibold">{name}</h3>
          {list.length === 0 && <p className="px-4 py-3 text-[13px] text-muted">None.</p>}
          {list.map((one) => (
            <div key={one.name} className="border-b px-4 py-2 last:border-0">
              <p className="text-[13px] font-medium">{one.name}</p>
              <code className="font-mono text-xs break-all text-muted">{one.definition}</code>
            </div>
          ))}
        </Card>
      ))}
    </div>
  );
}
