// The project, branch and compute that the page is about, by its address.
import { useQuery } from "@tanstack/react-query";
import { useParams, useSearch } from "@tanstack/react-router";
import { branchesQuery, endpointsQuery, projectOverviewQuery } from "@/api/queries";
import type { Branch, ComputeState, Endpoint } from "@/api/types";

export interface Current {
  project: string;
  branches: Branch[] | undefined;
  branch: Branch | undefined;
  endpoints: Endpoint[] | undefined;
  endpoint: Endpoint | undefined; // The branch's, that writes.
}

export function useCurrent(): Current {
  const { project } = useParams({ from: "/projects/$project" });
  const { branch: wanted } = useSearch({ from: "/projects/$project" });
  const branches = useQuery(branchesQuery(project)).data;
  const endpoints = useQuery(endpointsQuery(project)).data;
  const branch = branches?.find((one) => one.id === wanted) ?? branches?.find((one) => one.default) ?? branches?.[0];
  const endpoint = endpoints?.find((one) => one.branch_id === branch?.id && one.type !== "read_only");
  return { project, branches, branch, endpoints, endpoint };
}

export function useCompute(project: string, endpoint: string | undefined) {
  const overview = useQuery(projectOverviewQuery(project)).data;
  const compute = overview?.computes.find((one) => one.endpoint_id === endpoint);
  const state: ComputeState = compute?.state ?? "idle";
  return { compute, state };
}
