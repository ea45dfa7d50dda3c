// Buttons, fields and the other small parts that every page is made of.
import clsx from "clsx";
import { Check, Copy, Loader2 } from "lucide-react";
import { Slot, Tooltip as RadixTooltip } from "radix-ui";
import {
  type ButtonHTMLAttributes,
  type ComponentProps,
  type InputHTMLAttributes,
  type ReactNode,
  useEffect,
  useId,
  useRef,
  useState,
} from "react";

type Look = "solid" | "plain" | "quiet" | "danger";
const looks: Record<Look, string> = {
  solid: "bg-solid text-solid-ink hover:opacity-85 border-transparent",
  plain: "bg-surface text-ink border-line-strong hover:bg-hover",
  quiet: "border-transparent text-muted hover:bg-hover hover:text-ink",
  danger: "border-transparent bg-[#b3261e] text-white hover:opacity-90",
};

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: Look;
  size?: "sm" | "md";
  icon?: ReactNode;
  busy?: boolean;
  asChild?: boolean;
}

export function Button({ look = "plain", size = "md", icon, busy, asChild, className, children, ...rest }: ButtonProps) {
  const Part = asChild ? Slot.Root : "button";
  return (
    <Part
      type={asChild ? undefined : "button"}
      {...rest}
      disabled={rest.disabled || busy}
      className={clsx(
        "inline-flex shrink-0 items-center justify-center gap-1.5 rounded-lg border font-medium whitespace-nowrap",
        "transition-[background-color,opacity,color] duration-100 disabled:opacity-45 disabled:hover:opacity-45",
        size === "sm" ? "h-8 px-2.5 text-[13px]" : "h-9 px-3.5 text-sm",
        looks[look],
        className,
      )}
    >
      {asChild ? (
        children
      ) : (
        <>
          {busy ? <Loader2 className="size-4 animate-spin" aria-hidden /> : icon}
          {children}
        </>
      )}
    </Part>
  );
}

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  label: string;
  children: ReactNode;
  tip?: boolean; // Not where a menu gives the focus back: a tooltip would come with it, and stay.
}

export function IconButton({ label, children, className, tip = true, ...rest }: IconButtonProps) {
  const button = (
    <button
      type="button"
      aria-label={label}
      {...rest}
      className={clsx(
        "inline-flex size-8 shrink-0 items-center justify-center rounded-lg text-muted transition-colors",
        "hover:bg-hover hover:text-ink disabled:opacity-40 disabled:hover:bg-transparent [&_svg]:size-4",
        className,
      )}
    >
      {children}
    </button>
  );
  return tip ? <Tip text={label}>{button}</Tip> : button;
}

export function Tip({ text, children, side }: { text: ReactNode; children: ReactNode; side?: "top" | "right" | "bottom" }) {
  return (
    <RadixTooltip.Root>
      <RadixTooltip.Trigger asChild>{children}</RadixTooltip.Trigger>
      <RadixTooltip.Portal>
        <RadixTooltip.Content
          side={side}
          sideOffset={6}
          className="appear z-50 max-w-72 rounded-md bg-solid px-2 py-1 text-xs text-solid-ink shadow-pop"
        >
          {text}
        </RadixTooltip.Content>
      </RadixTooltip.Portal>
    </RadixTooltip.Root>
  );
}

const fieldLook =
  "w-full rounded-lg border border-line-strong bg-surface px-3 text-ink placeholder:text-faint transition-colors " +
  "hover:border-faint disabled:opacity-60 aria-invalid:border-bad";

export function Input({ className, ...rest }: InputHTMLAttributes<HTMLInputElement>) {
  return <input autoComplete="off" spellCheck={false} {...rest} className={clsx(fieldLook, "h-9 text-sm", className)} />;
}

export function TextArea({ className, ...rest }: ComponentProps<"textarea">) {
  return <textarea spellCheck={false} {...rest} className={clsx(fieldLook, "min-h-20 py-2 text-sm", className)} />;
}

// A native select: the keyboard and phones know it best.
export function Select({ className, ...rest }: ComponentProps<"select">) {
  return (
    <select
      {...rest}
      className={clsx(fieldLook, "h-9 appearance-none bg-[length:10px] bg-no-repeat pr-8 text-sm text-ellipsis", className)}
      style={{
        backgroundImage:
          "linear-gradient(45deg, transparent 50%, currentColor 50%), linear-gradient(135deg, currentColor 50%, transparent 50%)",
        backgroundPosition: "calc(100% - 16px) 55%, calc(100% - 11px) 55%",
        backgroundSize: "5px 5px, 5px 5px",
      }}
    />
  );
}

interface FieldProps {
  label: ReactNode;
  hint?: ReactNode;
  error?: ReactNode;
  children: (props: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean }) => ReactNode;
  className?: string;
}

export function Field({ label, hint, error, children, className }: FieldProps) {
  const id = useId();
  const note = error ?? hint;
  return (
    <div className={clsx("space-y-1.5", className)}>
      <label htmlFor={id} className="block text-[13px] font-medium text-ink">
        {label}
      </label>
      {children({ id, "aria-describedby": note ? `${id}-note` : undefined, "aria-invalid": error ? true : undefined })}
      {note && (
        <p id={`${id}-note`} className={clsx("text-xs", error ? "text-bad" : "text-muted")}>
          {note}
        </p>
      )}
    </div>
  );
}

export function Switch({ checked, onChange, label }: { checked: boolean; onChange: (on: boolean) => void; label: string }) {
  return (
    <button
      type="button"
      role="switch"
      aria-checked={checked}
      aria-label={label}
      onClick={() => onChange(!checked)}
      className={clsx(
        "relative h-5 w-9 shrink-0 rounded-full border transition-colors",
        checked ? "border-transparent bg-ok" : "border-line-strong bg-hover",
      )}
    >
      <span
        className={clsx(
          "absolute top-1/2 size-3.5 -translate-y-1/2 rounded-full shadow transition-[left]",
          checked ? "left-[18px] bg-surface" : "left-[3px] bg-faint",
        )}
      />
    </button>
  );
}

type Tone = "neutral" | "ok" | "warn" | "bad" | "info" | "accent";
const tones: Record<Tone, string> = {
  neutral: "bg-hover text-muted",
  ok: "bg-ok-soft text-ok",
  warn: "bg-warn-soft text-warn",
  bad: "bg-bad-soft text-bad",
  info: "bg-info-soft text-info",
  accent: "bg-accent-soft text-accent",
};

export function Badge({ tone = "neutral", children, className }: { tone?: Tone; children: ReactNode; className?: string }) {
  return (
    <span
      className={clsx(
        "inline-flex items-center gap-1.5 rounded-md px-1.5 py-0.5 text-xs font-medium whitespace-nowrap",
        tones[tone],
        className,
      )}
    >
      {children}
    </span>
  );
}

export function Kbd({ children }: { children: ReactNode }) {
  return (
    <kbd className="rounded border border-line-strong bg-sunken px-1 font-sans text-2xs leading-4 text-muted">{children}</kbd>
  );
}

// Puts text on the clipboard; also where the page is not served by TLS or from this machine.
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function useCopied(): [boolean, (text: string) => void] {
  const [copied, setCopied] = useState(false);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return [
    copied,
    (text) => {
      void copyText(text).then(() => {
        setCopied(true);
        clearTimeout(timer.current);
        timer.current = window.setTimeout(() => setCopied(false), 1600);
      });
    },
  ];
}

export function CopyButton({ text, label = "Copy", withText = false }: { text: string; label?: string; withText?: boolean }) {
  const [copied, copy] = useCopied();
  const icon = copied ? <Check className="size-4 text-ok" aria-hidden /> : <Copy className="size-4" aria-hidden />;
  if (withText)
    return (
      <Button look="solid" size="sm" icon={copied ? <Check className="size-4" aria-hidden /> : icon} onClick={() => copy(text)}>
        {copied ? "Copied" : label}
      </Button>
    );
  return (
    <IconButton label={copied ? "Copied" : label} onClick={() => copy(text)}>
      {icon}
    </IconButton>
  );
}

export function Spinner({ className }: { className?: string }) {
  return <Loader2 className={clsx("size-4 animate-spin text-faint", className)} data-loading aria-hidden />;
}

export function Skeleton({ className }: { className?: string }) {
  return <div className={clsx("breathe rounded-md bg-hover", className)} data-loading aria-hidden />;
}

export function Card({ children, className }: { children: ReactNode; className?: string }) {
  return <section className={clsx("rounded-xl border bg-surface", className)}>{children}</section>;
}

export function CardHead({ title, hint, children }: { title: ReactNode; hint?: ReactNode; children?: ReactNode }) {
  return (
    <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2 border-b px-4 py-3 sm:px-5">
      <div className="min-w-0">
        <h2 className="text-sm font-semibold">{title}</h2>
        {hint && <p className="text-[13px] text-muted">{hint}</p>}
      </div>
      {children && <div className="flex flex-wrap items-center gap-2">{children}</div>}
    </div>
  );
}

// Nothing there yet: what this place is for, and the first step.
export function Empty({ icon, title, children, action }: { icon: ReactNode; title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="flex flex-col items-center px-6 py-14 text-center">
      <div className="mb-4 flex size-11 items-center justify-center rounded-xl border bg-sunken text-muted [&_svg]:size-5">{icon}</div>
      <h3 className="text-[15px] font-semibold">{title}</h3>
      {children && <div className="mt-1 max-w-md text-sm text-pretty text-muted">{children}</div>}
      {action && <div className="mt-5">{action}</div>}
    </div>
  );
}

// The server's own words, and a way on.
export function Problem({ error, retry, className }: { error: unknown; retry?: () => void; className?: string }) {
  const message = error instanceof Error ? error.message : String(error);
  return (
    <div role="alert" className={clsx("flex items-start gap-3 rounded-lg bg-bad-soft px-3.5 py-2.5 text-sm text-bad", className)}>
      <p className="min-w-0 flex-1 break-words">{message}</p>
      {retry && (
        <button type="button" onClick={retry} className="shrink-0 font-medium underline underline-offset-2">
          Try again
        </button>
      )}
    </div>
  );
}
