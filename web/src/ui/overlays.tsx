// What comes in front of the page: dialogs, confirmations, menus.
import clsx from "clsx";
import { X } from "lucide-react";
import { Dialog as RadixDialog, DropdownMenu } from "radix-ui";
import { type FormEvent, type ReactNode, useState } from "react";
import { Button, Field, IconButton, Input, Problem } from "./basics";

interface DialogProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: ReactNode;
  description?: ReactNode;
  children: ReactNode;
  wide?: boolean;
}

export function Dialog({ open, onOpenChange, title, description, children, wide }: DialogProps) {
  return (
    <RadixDialog.Root open={open} onOpenChange={onOpenChange}>
      <RadixDialog.Portal>
        <RadixDialog.Overlay className="fixed inset-0 z-40 animate-[appear_120ms_ease-out] bg-black/35 backdrop-blur-[1px]" />
        <RadixDialog.Content
          className={clsx(
            "appear fixed z-50 flex max-h-[92dvh] flex-col overflow-hidden border bg-surface shadow-pop outline-none",
            "inset-x-0 bottom-0 rounded-t-2xl sm:inset-x-auto sm:top-1/2 sm:bottom-auto sm:left-1/2 sm:rounded-2xl",
            "sm:w-[calc(100vw-3rem)] sm:-translate-x-1/2 sm:-translate-y-1/2",
            wide ? "sm:max-w-3xl" : "sm:max-w-lg",
          )}
        >
          <div className="flex items-start justify-between gap-4 px-5 pt-4 pb-3 sm:px-6 sm:pt-5">
            <div className="min-w-0">
              <RadixDialog.Title className="text-base font-semibold tracking-tight">{title}</RadixDialog.Title>
              <RadixDialog.Description className={description ? "mt-0.5 text-sm text-muted" : "sr-only"}>
                {description ?? "A dialog"}
              </RadixDialog.Description>
            </div>
            <RadixDialog.Close asChild>
              <button
                type="button"
                aria-label="Close"
                className="-mt-1 -mr-2 flex size-8 items-center justify-center rounded-lg text-muted hover:bg-hover hover:text-ink"
              >
                <X className="size-4" aria-hidden />
              </button>
            </RadixDialog.Close>
          </div>
          <div className="scroll-thin min-h-0 overflow-y-auto px-5 pb-5 sm:px-6 sm:pb-6">{children}</div>
        </RadixDialog.Content>
      </RadixDialog.Portal>
    </RadixDialog.Root>
  );
}

export function DialogActions({ children }: { children: ReactNode }) {
  return <div className="mt-6 flex justify-end gap-2">{children}</div>;
}

interface ConfirmProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  children: ReactNode; // What will happen, and whether there is a way back.
  action: string;
  // The name that must be typed, where what is lost cannot be had again.
  typed?: string;
  gentle?: boolean;
  onConfirm: () => Promise<unknown>;
}

export function Confirm({ open, onOpenChange, title, children, action, typed, gentle, onConfirm }: ConfirmProps) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const change = (next: boolean) => {
    if (busy) return;
    setText("");
    setError(null);
    onOpenChange(next);
  };
  async function submit(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await onConfirm();
      setText("");
      onOpenChange(false);
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  }
  return (
    <Dialog open={open} onOpenChange={change} title={title} description={typed ? "This needs your confirmation." : undefined}>
      <form onSubmit={submit}>
        <div className="space-y-3 text-sm text-pretty text-muted">{children}</div>
        {typed !== undefined && (
          <Field
            className="mt-4"
            label={
              <>
                Type <span className="rounded bg-hover px-1 font-mono text-[13px]">{typed}</span> to confirm
              </>
            }
          >
            {(props) => <Input {...props} autoFocus value={text} onChange={(event) => setText(event.target.value)} />}
          </Field>
        )}
        {error !== null && <Problem className="mt-4" error={error} />}
        <DialogActions>
          <Button onClick={() => change(false)} disabled={busy}>
            Cancel
          </Button>
          <Button
            type="submit"
            look={gentle ? "solid" : "danger"}
            busy={busy}
            autoFocus={typed === undefined}
            disabled={typed !== undefined && text !== typed}
          >
            {action}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

export function Menu({ label, icon, children }: { label: string; icon: ReactNode; children: ReactNode }) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>
        <IconButton label={label} tip={false}>
          {icon}
        </IconButton>
      </DropdownMenu.Trigger>
      <MenuContent align="end">{children}</MenuContent>
    </DropdownMenu.Root>
  );
}

export function MenuContent({ children, align = "start", className }: { children: ReactNode; align?: "start" | "end"; className?: string }) {
  return (
    <DropdownMenu.Portal>
      <DropdownMenu.Content
        align={align}
        sideOffset={6}
        className={clsx(
          "appear scroll-thin z-50 max-h-[70dvh] min-w-48 overflow-y-auto rounded-xl border bg-surface p-1 shadow-pop",
          className,
        )}
      >
        {children}
      </DropdownMenu.Content>
    </DropdownMenu.Portal>
  );
}

interface MenuItemProps {
  icon?: ReactNode;
  children: ReactNode;
  onSelect: () => void;
  danger?: boolean;
  disabled?: boolean;
  hint?: ReactNode;
}

export function MenuItem({ icon, children, onSelect, danger, disabled, hint }: MenuItemProps) {
  return (
    <DropdownMenu.Item
      onSelect={onSelect}
      disabled={disabled}
      className={clsx(
        "flex cursor-pointer items-center gap-2 rounded-lg px-2.5 py-1.5 text-sm outline-none select-none [&_svg]:size-4",
        "data-[disabled]:cursor-default data-[disabled]:opacity-45 data-[highlighted]:bg-hover",
        danger ? "text-bad" : "text-ink [&_svg]:text-muted",
      )}
    >
      {icon}
      <span className="min-w-0 flex-1 truncate">{children}</span>
      {hint}
    </DropdownMenu.Item>
  );
}

export function MenuLine() {
  return <DropdownMenu.Separator className="mx-1 my-1 h-px bg-line" />;
}

export { DropdownMenu };
