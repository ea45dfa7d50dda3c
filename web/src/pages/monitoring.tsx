import { PageHead } from "@/shell/project-layout";

export function MonitoringPage() {
  return <PageHead title="Monitoring" />;
}
