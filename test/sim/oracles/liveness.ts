/**
 * LV, liveness: when faults stop and everybody runs, then within so many election timeouts there is a leader, every
 * client gets its answer, a fresh mutation commits through every member, and all members converge.
 */
import { DATA_STREAM } from '../../../src/types/ids.ts';
import type { Client } from '../cluster/client.ts';
import type { Cluster } from '../cluster/cluster.ts';

/** Longest election timeouts (2 × the base) from the end of the faults. */
const TIMEOUTS_TO_LEADER = 25;
const TIMEOUTS_TO_ANSWERS = 60;
const TIMEOUTS_TO_PROBES = 90;
const TIMEOUTS_TO_CONVERGE = 110;
const TIMEOUTS_TO_WATCH = 150;

export async function checkLiveness(cluster: Cluster): Promise<void> {
  const { world, options, members } = cluster;
  const timeoutUs = 2 * options.settings.electionTicks * options.settings.tickMs * 1000;
  const fromUs = world.nowUs;
  const within = async (timeouts: number, what: string, done: () => boolean): Promise<boolean> => {
    await world.run(fromUs + timeouts * timeoutUs, done, () => cluster.check());
    if (world.violation !== null) return false;
    if (done()) return true;
    cluster.violate('LV', `${what} within ${timeouts} election timeouts: ${summary(cluster)}`);
    return false;
  };
  const led = (): boolean => {
    const terms = members.map((member) => member.lastStatus?.term ?? 0);
    const leader = members.find((member) => member.running !== null && member.lastStatus?.role === 'leader');
    return leader !== undefined && leader.lastStatus?.term === Math.max(...terms);
  };
  if (!(await within(TIMEOUTS_TO_LEADER, 'no leader', led))) return;
  const idle = (): boolean => cluster.clients.every((client) => client.idle);
  if (!(await within(TIMEOUTS_TO_ANSWERS, 'a client has no answer', idle))) return;
  const probes = startProbes(cluster);
  if (!(await within(TIMEOUTS_TO_PROBES, 'a fresh mutation does not commit', () => probes.left === 0))) return;
  if (!(await within(TIMEOUTS_TO_CONVERGE, 'members do not converge', () => converged(cluster)))) return;
  await within(TIMEOUTS_TO_WATCH, 'a watch does not see everything', () => cluster.watched);
}

/** A mutation through every member, tried until it is carried out. */
function startProbes(cluster: Cluster): { left: number } {
  const probes = { left: cluster.members.length };
  const client = cluster.clients[0] as Client;
  for (const member of cluster.members) {
    const tryUntilDone = async (): Promise<void> => {
      while (!(await client.probe(member))) await cluster.world.sleep(5_000);
      probes.left -= 1;
    };
    tryUntilDone().catch((error: unknown) => cluster.violate('CR', String(error)));
  }
  return probes;
}

function converged(cluster: Cluster): boolean {
  const statuses = cluster.members.map((member) => member.running?.status(DATA_STREAM));
  const first = statuses[0];
  return statuses.every(
    (status) =>
      status !== undefined &&
      status.appliedIndex === first?.appliedIndex &&
      status.appliedIndex === cluster.ledger.lastIndex &&
      status.stateHash === first.stateHash,
  );
}

function summary(cluster: Cluster): string {
  const states = cluster.members.map((member) => {
    const status = member.lastStatus;
    if (member.running === null || status === null) return `${member.id} down`;
    const { role, term, leader, lastIndex, commitIndex, appliedIndex } = status;
    return `${member.id} ${role} of ${term} (leader ${leader}) last ${lastIndex} commit ${commitIndex} applied ${appliedIndex}`;
  });
  const busy = cluster.clients.filter((client) => !client.idle).map((client) => client.name);
  return `${states.join('; ')}; clients at work: ${busy.join(' ') || 'none'}`;
}
