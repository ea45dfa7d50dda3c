import "./styles.css";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { Tooltip } from "radix-ui";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Toaster } from "sonner";
import { ApiError, onSignedOut } from "./api/client";
import { sessionQuery } from "./api/queries";
import { createConsoleRouter } from "./router";
import { useTheme } from "./shell/theme";

const queryClient = new QueryClient({
  defaultOptions: {
    // Without a network this machine is there all the same.
    mutations: { networkMode: "always" },
    queries: {
      networkMode: "always",
      staleTime: 1000,
      // What the server has refused it will refuse again; what was not reached may come back.
      retry: (failures, error) => failures < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
      retryDelay: (failures) => 300 * 2 ** failures,
    },
  },
});
onSignedOut(() => queryClient.setQueryData(sessionQuery.queryKey, { signed_in: false }));

const router = createConsoleRouter(queryClient);

// A page from before an upgrade asks for files that are no longer there: the new one has them.
addEventListener("vite:preloadError", (event) => {
  event.preventDefault();
  location.reload();
});

function Toasts() {
  const { dark } = useTheme();
  return (
    <Toaster
      theme={dark ? "dark" : "light"}
      position="bottom-right"
      toastOptions={{ style: { fontFamily: "var(--font-sans)", background: "var(--surface)", color: "var(--ink)", borderColor: "var(--line-strong)" } }}
    />
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <Tooltip.Provider delayDuration={350} skipDelayDuration={200} disableHoverableContent>
        <RouterProvider router={router} />
        <Toasts />
      </Tooltip.Provider>
    </QueryClientProvider>
  </StrictMode>,
);
