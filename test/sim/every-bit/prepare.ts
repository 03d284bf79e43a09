/** The disks of three members after a short life and a clean stop, made once and copied for every run. */
import { DATA_STREAM } from '../../../src/types/ids.ts';
import type { Client } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Tag } from '../cluster/tracked-log.ts';
import { EVERY_BIT_OPTIONS } from './options.ts';

/** Plans of so many phases each; what is not in here is too little to be a log worth damaging. */
const PLANS = [3, 1, 8, 1, 2, 20];
const LIMIT_US = 60_000_000;

export interface Prepared {
  /** Stopped; nothing uses their disks any more. */
  readonly members: readonly SimMember[];
  /** What all of them have applied, and stored. */
  readonly lastIndex: number;
  readonly stateHash: string;
  /** Highest term in which anybody voted. */
  readonly term: number;
  /** Of entry 1 and so on. */
  readonly tags: readonly Tag[];
}

export async function prepare(): Promise<Prepared> {
  const cluster = new Cluster(EVERY_BIT_OPTIONS, null);
  const { world, members } = cluster;
  let prepared: Prepared | null = null;
  const work = async (): Promise<void> => {
    for (const member of members) member.boot();
    const client = cluster.clients[0] as Client;
    for (const phases of PLANS) while (!(await client.put(phases))) await world.sleep(20_000);
    while (!isEqual(cluster)) await world.sleep(20_000);
    prepared = describePrepared(members);
    for (const member of members) void member.stop();
    while (members.some(({ process }) => process !== null)) await world.sleep(1_000);
  };
  let over = false;
  work().then(
    () => {
      over = true;
    },
    (error: unknown) => cluster.violate('CR', String(error)),
  );
  await world.run(
    LIMIT_US,
    () => over,
    () => cluster.check(),
  );
  if (prepared === null || !over)
    throw new Error(`no log was made: ${world.violation?.message ?? 'it takes too long'}`);
  return prepared;
}

function isEqual(cluster: Cluster): boolean {
  return cluster.members.every(({ lastStatus }) => lastStatus?.appliedIndex === cluster.ledger.lastIndex);
}

function describePrepared(members: readonly SimMember[]): Prepared {
  const [first] = members as readonly [SimMember];
  const status = first.running?.status(DATA_STREAM);
  if (status === undefined) throw new Error('a member is down');
  const tags = Array.from({ length: status.appliedIndex }, (_, at) => first.log.at(at + 1) as Tag);
  const term = Math.max(...members.map(({ lastStatus }) => lastStatus?.term ?? 0));
  return { members, lastIndex: status.appliedIndex, stateHash: status.stateHash, term, tags };
}
