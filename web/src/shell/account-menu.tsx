import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { CircleUser, KeyRound, LogOut, Monitor, Moon, Sun } from "lucide-react";
import { http } from "@/api/client";
import { sessionQuery } from "@/api/queries";
import { DropdownMenu, MenuContent, MenuItem, MenuLine } from "@/ui/overlays";
import { setTheme, type Theme, useTheme } from "./theme";

const themes: { theme: Theme; name: string; icon: typeof Sun }[] = [
  { theme: "system", name: "As the system", icon: Monitor },
  { theme: "light", name: "Light", icon: Sun },
  { theme: "dark", name: "Dark", icon: Moon },
];

export function useSignOut() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => http.delete("/api/v2/console/session"),
    onSuccess: () => {
      client.setQueryData(sessionQuery.queryKey, { signed_in: false });
      client.removeQueries({ predicate: (query) => query.queryKey[0] !== sessionQuery.queryKey[0] });
    },
  });
}

export function AccountMenu() {
  const navigate = useNavigate();
  const { theme } = useTheme();
  const signOut = useSignOut();
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger className="flex h-9 w-full items-center gap-2.5 rounded-lg px-2.5 text-[13px] font-medium text-muted hover:bg-hover hover:text-ink">
        <CircleUser className="size-4" aria-hidden />
        Operator
      </DropdownMenu.Trigger>
      <MenuContent>
        <MenuItem icon={<KeyRound aria-hidden />} onSelect={() => void navigate({ to: "/account" })}>
          API keys and platform
        </MenuItem>
        <MenuLine />
        {themes.map((one) => (
          <MenuItem
            key={one.theme}
            icon={<one.icon aria-hidden />}
            onSelect={() => setTheme(one.theme)}
            hint={theme === one.theme && <span className="text-xs text-muted">now</span>}
          >
            {one.name}
          </MenuItem>
        ))}
        <MenuLine />
        <MenuItem icon={<LogOut aria-hidden />} onSelect={() => signOut.mutate()}>
          Sign out
        </MenuItem>
      </MenuContent>
    </DropdownMenu.Root>
  );
}
