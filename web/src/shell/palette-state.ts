import { useSyncExternalStore } from "react";

let open = false;
const listeners = new Set<() => void>();

export function setPalette(next: boolean) {
  open = next;
  listeners.forEach((listener) => listener());
}
export const openPalette = () => setPalette(true);

export function usePaletteOpen() {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => open,
  );
}
