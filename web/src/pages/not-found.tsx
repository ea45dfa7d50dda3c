import { Link } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { Button, Empty } from "@/ui/basics";

export function NotFound({ what = "page" }: { what?: string }) {
  return (
    <main className="mx-auto max-w-xl pt-16">
      <Empty
        icon={<Compass aria-hidden />}
        title={`There is no such ${what}`}
        action={
          <Button asChild>
            <Link to="/">All projects</Link>
          </Button>
        }
      >
        It may have been deleted, or the address is not quite right.
      </Empty>
    </main>
  );
}
