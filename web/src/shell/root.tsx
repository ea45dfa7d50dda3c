// Whoever is not signed in sees the sign-in, at whatever address; then the page that was asked for.
import { useQuery } from "@tanstack/react-query";
import { Outlet } from "@tanstack/react-router";
import { sessionQuery } from "@/api/queries";
import { SignIn } from "@/pages/sign-in";
import { Problem } from "@/ui/basics";
import { Palette } from "./palette";

export function Root() {
  const session = useQuery(sessionQuery);
  if (session.error && !session.data)
    return (
      <main className="mx-auto max-w-lg p-6 pt-24">
        <Problem error={session.error} retry={() => void session.refetch()} />
      </main>
    );
  if (!session.data) return null;
  if (!session.data.signed_in) return <SignIn />;
  return (
    <>
      <Outlet />
      <Palette />
    </>
  );
}
