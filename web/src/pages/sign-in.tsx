import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { ApiError, http } from "@/api/client";
import { sessionQuery } from "@/api/queries";
import { Button, Field, Input, Problem, Spinner } from "@/ui/basics";
import { Logo } from "@/ui/logo";

type Secret = { link: string } | { api_key: string } | { password: string };

export function SignIn() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [secret, setSecret] = useState("");
  // The link that `up` prints has its secret behind the #, which no server and no log ever sees.
  const link = useRef(location.pathname === "/sign-in" ? location.hash.slice(1) : "");
  const [byLink, setByLink] = useState(link.current !== "");
  const signIn = useMutation({
    mutationFn: (body: Secret) => http.post("/api/v2/console/session", body),
    onSuccess: async () => {
      if (location.pathname === "/sign-in") await navigate({ to: "/", replace: true });
      client.setQueryData(sessionQuery.queryKey, { signed_in: true });
    },
    onError: () => setByLink(false),
  });
  const { mutate } = signIn;
  useEffect(() => {
    if (link.current === "") return;
    history.replaceState(history.state, "", location.pathname);
    mutate({ link: link.current });
    link.current = "";
  }, [mutate]);

  function submit(event: FormEvent) {
    event.preventDefault();
    const text = secret.trim();
    mutate(text.startsWith("napi_") ? { api_key: text } : { password: text });
  }
  return (
    <main className="flex min-h-dvh items-center justify-center px-4 py-10">
      <div className="appear w-full max-w-[22rem]">
        <Logo className="mx-auto size-12" />
        <h1 className="mt-5 text-center text-xl font-semibold">Sign in to Halogen</h1>
        <p className="mt-1 text-center text-sm text-muted">Serverless PostgreSQL, on your machine.</p>
        {byLink ? (
          <p className="mt-10 flex items-center justify-center gap-2 text-sm text-muted" role="status">
            <Spinner /> Signing in by your link
          </p>
        ) : (
          <form onSubmit={submit} className="mt-8 space-y-4">
            <Field label="Password or API key" hint={<>`halogen up` has printed the password; `halogen console` prints a link.</>}>
              {(props) => (
                <Input
                  {...props}
                  type="password"
                  name="password"
                  autoComplete="current-password"
                  autoFocus
                  value={secret}
                  onChange={(event) => setSecret(event.target.value)}
                />
              )}
            </Field>
            {signIn.error && (
              <Problem error={signIn.error instanceof ApiError ? signIn.error : new Error("Halogen does not answer.")} />
            )}
            <Button type="submit" look="solid" className="w-full" busy={signIn.isPending} disabled={secret.trim() === ""}>
              Sign in
            </Button>
          </form>
        )}
      </div>
    </main>
  );
}
