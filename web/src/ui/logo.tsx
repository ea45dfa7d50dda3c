export function Logo({ className }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" className={className} aria-hidden>
      <rect width="32" height="32" rx="8" fill="#17181b" className="dark:fill-[#2b2a27]" />
      <path d="M11 7v18M21 7v18" stroke="#f6f4ef" strokeWidth="3" strokeLinecap="round" />
      <path d="M11 16c2.4-3.4 3.6 3.4 5 0s2.6 3.4 5 0" stroke="#f59e0b" strokeWidth="2.6" fill="none" strokeLinecap="round" />
    </svg>
  );
}
