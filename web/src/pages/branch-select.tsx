// One branch of the project's.
import type { ComponentProps } from "react";
import type { Branch } from "@/api/types";
import { Select } from "@/ui/basics";

export function BranchSelect({ branches, onChoose, ...props }: Omit<ComponentProps<typeof Select>, "onChange" | "children"> & { branches: Branch[]; onChoose: (id: string) => void }) {
  return (
    <Select {...props} onChange={(event) => onChoose(event.target.value)}>
      {branches.map((one) => (
        <option key={one.id} value={one.id}>
          {one.name}
        </option>
      ))}
    </Select>
  );
}
