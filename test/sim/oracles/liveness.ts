/**
 * LV, liveness: when faults stop and everybody runs, or a majority whose other members are gone for good, then within so many election timeouts there is a leader, every
 * client gets its answer, a fresh mutation commits through every member, and all members converge.
 */
import { DATA_STREAM } from '../../../src/types/ids.ts';
import type { Client } from '../cluster/client.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { EMPTY_GROUP, isIn, isVoter, nameOf } from '../cluster/quorum.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import { checkRecoveries, viewOf } from './recovery-liveness.ts';

/** Longest election timeouts (2 × the base) from the end of the faults. */
const TIMEOUTS_TO_LEADER = 25;
const TIMEOUTS_TO_ANSWERS = 60;
const TIMEOUTS_TO_REPLACE = 90;
const TIMEOUTS_TO_SETTLE = 150;
const TIMEOUTS_TO_PROBES = 180;
const TIMEOUTS_TO_CONVERGE = 200;
const TIMEOUTS_TO_WATCH = 240;

export async function checkLiveness(cluster: Cluster): Promise<void> {
  const { world, options, members } = cluster;
  const timeoutUs = 2 * options.settings.electionTicks * options.settings.tickMs * 1000;
  let fromUs = world.nowUs;
  const within = async (timeouts: number, what: string, done: () => boolean): Promise<boolean> => {
    await world.run(fromUs + timeouts * timeoutUs, done, () => cluster.check());
    if (world.violation !== null) return false;
    if (done()) return true;
    cluster.violate('LV', `${what} within ${timeouts} election timeouts: ${summary(cluster)}`);
    return false;
  };
  const led = (): boolean => {
    const leader = leaderOf(cluster);
    const voters = members.filter(({ log, id, abandoned }) => !abandoned && isVoter(log.group, id));
    return leader?.lastStatus?.term === Math.max(...voters.map((member) => member.lastStatus?.term ?? 0));
  };
  if (!(await within(TIMEOUTS_TO_LEADER, 'no leader', led))) return;
  const callers = [...cluster.clients, ...cluster.registerClients, ...cluster.recoveries.callers, cluster.operator];
  const idle = (): boolean => callers.every((client) => client.idle);
  if (!(await within(TIMEOUTS_TO_ANSWERS, 'a client has no answer', idle))) return;
  const lost = members.filter((member) => member.lost && belongs(cluster, member));
  const replaced = startReplacing(cluster, lost);
  if (!(await within(TIMEOUTS_TO_REPLACE, 'a lost member is not replaced', () => replaced.left === 0))) return;
  if (!(await within(TIMEOUTS_TO_SETTLE, 'the configuration is not what is wanted', () => settled(cluster)))) return;
  const probes = startProbes(cluster);
  if (!(await within(TIMEOUTS_TO_PROBES, 'a fresh mutation does not commit', () => probes.left === 0))) return;
  const probedUs = world.nowUs;
  if (!(await checkRecoveries(cluster, () => viewOf(leaderOf(cluster))))) return;
  fromUs += world.nowUs - probedUs;
  if (!(await within(TIMEOUTS_TO_CONVERGE, 'members do not converge', () => converged(cluster)))) return;
  await within(TIMEOUTS_TO_WATCH, 'a watch does not see everything', () => cluster.watched);
}

function leaderOf(cluster: Cluster): SimMember | null {
  let best: SimMember | null = null;
  for (const member of cluster.members) {
    if (member.running === null || member.abandoned || member.lastStatus?.role !== 'leader') continue;
    if (best === null || member.lastStatus.term > (best.lastStatus?.term ?? 0)) best = member;
  }
  return best;
}

/** It is in the configuration, or on the way there. */
function belongs(cluster: Cluster, { id }: SimMember): boolean {
  const leader = leaderOf(cluster);
  const rows = leader?.running?.local(DATA_STREAM).members() ?? [];
  return (
    isIn(leader?.log.group ?? EMPTY_GROUP, id) || rows.some((row) => row.member === id && row.wanted !== 'removed')
  );
}

/** Members of the configuration that can run, and be reached. */
function present(cluster: Cluster): readonly SimMember[] {
  const group = leaderOf(cluster)?.log.group ?? EMPTY_GROUP;
  return cluster.members.filter(({ id, lost, abandoned }) => !lost && !abandoned && isIn(group, id));
}

/** What the state says is wanted is what the configuration is: new members are in, voters vote, others are gone. */
function settled(cluster: Cluster): boolean {
  const leader = leaderOf(cluster);
  const view = leader?.running?.local(DATA_STREAM);
  if (leader === null || view === undefined) return false;
  const { group } = leader.log;
  if (group.votersOutgoing.length > 0) return false;
  // Founding learners have no row: they become voters, unless they are gone for good. One that was lost before the cluster rose to the
  // feature level of changes stays on the list: nobody can be asked to take it off.
  const rows = new Set<string>(view.members().map(({ member }) => member));
  const waiting = cluster.members.some(
    ({ id, abandoned, lost }) => group.learners.includes(id) && !rows.has(id) && !abandoned && !lost,
  );
  if (waiting) return false;
  return view.members().every(({ member, wanted }) => {
    if (wanted === 'removed') return !isIn(group, member);
    return wanted === 'voter' ? group.voters.includes(member) : isIn(group, member);
  });
}

function startReplacing(cluster: Cluster, lost: readonly SimMember[]): { left: number } {
  const work = { left: lost.length };
  const replaceAll = async (): Promise<void> => {
    for (const member of lost) {
      await cluster.operator.replace(member.id);
      work.left -= 1;
    }
  };
  replaceAll().catch((error: unknown) => cluster.violate('CR', String(error)));
  return work;
}

/** A mutation through every member, tried until it is carried out. */
function startProbes(cluster: Cluster): { left: number } {
  const through = present(cluster);
  const probes = { left: through.length };
  const client = cluster.clients[0] as Client;
  for (const member of through) {
    const tryUntilDone = async (): Promise<void> => {
      while (!(await client.probe(member))) await cluster.world.sleep(5_000);
      probes.left -= 1;
    };
    tryUntilDone().catch((error: unknown) => cluster.violate('CR', String(error)));
  }
  return probes;
}

function converged(cluster: Cluster): boolean {
  const statuses = present(cluster).map((member) => member.running?.status(DATA_STREAM));
  const first = statuses[0];
  return (
    statuses.length > 0 &&
    statuses.every(
      (status) =>
        status !== undefined &&
        status.appliedIndex === first?.appliedIndex &&
        status.appliedIndex === cluster.ledger.lastIndex &&
        status.stateHash === first.stateHash,
    )
  );
}

function summary(cluster: Cluster): string {
  const states = cluster.members.map((member) => {
    const status = member.lastStatus;
    if (member.lost) return `${member.id} lost`;
    if (member.abandoned) return `${member.id} ${member.dead ? 'dead' : 'cut off'} for good`;
    if (member.running === null || status === null) return `${member.id} down`;
    const { role, term, leader, lastIndex, commitIndex, appliedIndex } = status;
    return `${member.id} ${role} of ${term} (leader ${leader}) last ${lastIndex} commit ${commitIndex} applied ${appliedIndex} of ${nameOf(member.log.group)}${status.recovering ? ' recovering' : ''}`;
  });
  const busy = cluster.clients.filter((client) => !client.idle).map((client) => client.name);
  const rows = leaderOf(cluster)?.running?.local(DATA_STREAM).members() ?? [];
  const wanted = rows.map((row) => `${row.member} ${row.wanted}${row.replaces === '' ? '' : ` for ${row.replaces}`}`);
  return `${states.join('; ')}; wanted: ${wanted.join(', ')}; clients at work: ${busy.join(' ') || 'none'}`;
}
