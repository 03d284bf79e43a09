/** One run: builds the cluster of a seed, lets it suffer, heals it, and says what was seen. */

import { checkTrace } from '../trace-check/checker.ts';
import { Cluster } from './cluster/cluster.ts';
import { formatNote, type Note } from './kernel/journal.ts';
import { describe, fullTurn, type Violation } from './kernel/world.ts';
import { drawOptions, type Focus, type SimOptions } from './options.ts';
import { checkLiveness } from './oracles/liveness.ts';
import { type RecoveryWanted, withRecovery } from './recovery-options.ts';
import { type SwarmWanted, withSwarm } from './swarm-options.ts';

export interface RunRequest {
  readonly seed: number;
  /** null: drawn. */
  readonly members: number | null;
  readonly focus: Focus | null;
  readonly recovery: RecoveryWanted;
  readonly swarm: SwarmWanted;
  /** Told of everything, as it happens. */
  readonly sink: ((note: Note) => void) | null;
}

export interface RunReport {
  readonly seed: number;
  readonly violation: Violation | null;
  readonly traceHash: string;
  readonly simulatedUs: number;
  readonly events: number;
  readonly entries: number;
  readonly operations: number;
  readonly operationsDone: number;
  readonly reads: number;
  /** Calls of registers whose histories were checked, and histories that were too hard to decide. */
  readonly registerCalls: number;
  readonly undecided: number;
  /** Faults that happened, by name. */
  readonly faults: Readonly<Record<string, number>>;
  /** Rare branches that the core took, by name. */
  readonly marks: Readonly<Record<string, number>>;
  /** Only with a violation. */
  readonly options?: SimOptions;
  readonly last?: readonly string[];
}

const LAST_NOTES = 120;
/** Events of a run; more means that something runs in circles. */
const EVENTS_MAX = 400_000;
/** Healthy wires and disks take at most this part of the base election timeout. */
const HEALTHY_PARTS = 20;

export async function runSeed(request: RunRequest): Promise<RunReport> {
  const options = withRecovery(
    withSwarm(drawOptions(request.seed, request.members, request.focus), request.members, request.swarm),
    request.focus === 'recovery' ? 'on' : request.recovery,
  );
  const cluster = new Cluster(options, request.sink);
  const { world } = cluster;
  const onRejection = (error: unknown): void => cluster.violate('CR', `unhandled rejection: ${describe(error)}`);
  process.on('unhandledRejection', onRejection);
  try {
    cluster.start();
    const busy = (): boolean => world.events > EVENTS_MAX;
    await world.run(options.faultyUs, busy, () => cluster.check());
    if (busy()) cluster.violate('LV', `more than ${EVENTS_MAX} events in ${world.nowUs} µs`);
    const electionUs = options.settings.electionTicks * options.settings.tickMs * 1000;
    if (world.violation === null) cluster.heal(Math.floor(electionUs / HEALTHY_PARTS));
    if (world.violation === null) await checkLiveness(cluster);
    if (world.violation === null) cluster.end();
    if (world.violation === null) checkTraces(cluster);
    await fullTurn();
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  return report(cluster);
}

/** The rules of the paper once more, by what each core said of itself, as for real processes (test/trace-check). */
function checkTraces(cluster: Cluster): void {
  const traces = cluster.members.map(({ id, trace }) => ({ member: id, events: trace, complete: true }));
  for (const { rule, member, message } of checkTrace(traces)) cluster.violate(rule, `trace of ${member}: ${message}`);
}

function report(cluster: Cluster): RunReport {
  const { world, operations, options } = cluster;
  const { violation } = world;
  const base = {
    seed: options.seed,
    violation,
    traceHash: world.journal.hash(),
    simulatedUs: world.nowUs,
    events: world.events,
    entries: cluster.ledger.lastIndex,
    operations: operations.all.length,
    operationsDone: operations.all.filter((operation) => operation.state.kind === 'done').length,
    reads: [...cluster.clients, ...cluster.registerClients].reduce((sum, client) => sum + client.reads, 0),
    faults: faultsOf(cluster),
    marks: Object.fromEntries(cluster.marks),
    registerCalls: cluster.linearizable.checked,
    undecided: cluster.linearizable.undecided,
  };
  if (violation === null) return base;
  return { ...base, options, last: world.journal.last(LAST_NOTES).map(formatNote) };
}

function faultsOf(cluster: Cluster): Record<string, number> {
  const faults: Record<string, number> = { ...cluster.network.faults };
  for (const member of cluster.members) {
    for (const [name, count] of Object.entries(member.disk.faults)) {
      const key = `disk ${name}`;
      faults[key] = (faults[key] ?? 0) + count;
    }
  }
  for (const { counts } of [cluster.nemesis, cluster.aimed, cluster.storage, cluster.operator]) {
    for (const [act, count] of counts) faults[act] = (faults[act] ?? 0) + count;
  }
  for (const { abandoned, dead, upgraded } of cluster.members) {
    const how = dead ? 'dead for good' : 'cut off for good';
    if (abandoned) faults[how] = (faults[how] ?? 0) + 1;
    if (upgraded) faults.upgraded = (faults.upgraded ?? 0) + 1;
  }
  for (const [name, count] of cluster.recoveries.counts) faults[name] = (faults[name] ?? 0) + count;
  return faults;
}
