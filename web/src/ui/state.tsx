// A compute's state as a lamp: lit, dark, or on its way.
import clsx from "clsx";
import type { ComputeState } from "@/api/types";

const lamps: Record<ComputeState, { light: string; word: string }> = {
  active: { light: "bg-ok shadow-[0_0_0_3px_var(--ok-soft)]", word: "Active" },
  idle: { light: "border-[1.5px] border-faint", word: "Idle" },
  starting: { light: "breathe bg-glow", word: "Waking" },
  suspending: { light: "breathe bg-faint", word: "Suspending" },
};

export function Lamp({ state }: { state: ComputeState }) {
  return <span className={clsx("inline-block size-2 shrink-0 rounded-full", lamps[state].light)} aria-hidden />;
}

export function StateLabel({ state }: { state: ComputeState }) {
  return (
    <span className="inline-flex items-center gap-2 text-[13px] font-medium" data-state={state}>
      <Lamp state={state} />
      {lamps[state].word}
    </span>
  );
}
