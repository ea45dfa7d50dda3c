// What the palette's list is made of.
import { Command } from "cmdk";
import type { ReactNode } from "react";

// Each word must be in it, at the beginning of one of its words at best. What merely has the letters somewhere is not meant.
export function score(value: string, search: string): number {
  const text = value.toLowerCase();
  let sum = 0;
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  for (const word of words) {
    const at = text.indexOf(word);
    if (at < 0) return 0;
    sum += at === 0 || /[^a-z0-9]/.test(text[at - 1]) ? 1 : 0.5;
  }
  return words.length === 0 ? 1 : sum / words.length;
}

const kMost = 100;

// Of thousands, those that match: as many as one might look through.
export function few<T>(all: T[], search: string, value: (one: T) => string): T[] {
  return all.filter((one) => score(value(one), search) > 0).slice(0, kMost);
}

export function Group({ name, children }: { name: string; children: ReactNode }) {
  return (
    <Command.Group
      heading={name}
      className="[&_[cmdk-group-heading]]:px-2.5 [&_[cmdk-group-heading]]:pt-2.5 [&_[cmdk-group-heading]]:pb-1 [&_[cmdk-group-heading]]:text-xs [&_[cmdk-group-heading]]:text-muted"
    >
      {children}
    </Command.Group>
  );
}

interface ItemProps {
  icon: ReactNode;
  value: string; // What is searched for what was typed.
  hint?: string;
  onSelect: () => void;
  children: ReactNode;
}

export function Item({ icon, value, hint, onSelect, children }: ItemProps) {
  return (
    <Command.Item
      value={value}
      onSelect={onSelect}
      className="flex cursor-pointer items-center gap-2.5 rounded-lg px-2.5 py-2 text-sm data-[selected=true]:bg-hover [&_svg]:size-4 [&_svg]:text-muted"
    >
      {icon}
      <span className="min-w-0 flex-1 truncate">{children}</span>
      {hint && <span className="truncate text-xs text-muted">{hint}</span>}
    </Command.Item>
  );
}
