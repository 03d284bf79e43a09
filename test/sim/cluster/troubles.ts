/** Those who make trouble in a cluster, each with a stream of random numbers of its own. */
import type { Prng } from '../kernel/prng.ts';
import type { World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import type { CommittedLedger } from '../oracles/committed-ledger.ts';
import type { SimNetwork } from '../ports/network.ts';
import { AimedNemesis } from './aimed-nemesis.ts';
import { Nemesis } from './nemesis.ts';
import type { SimMember } from './sim-member.ts';
import { StorageNemesis } from './storage-nemesis.ts';

interface Suffering {
  readonly world: World;
  readonly options: SimOptions;
  readonly network: SimNetwork;
  readonly members: readonly SimMember[];
  /** Made after those who make trouble: asked for when it is needed. */
  readonly ledger: CommittedLedger;
}

interface Troubles {
  readonly nemesis: Nemesis;
  readonly aimed: AimedNemesis;
  readonly storage: StorageNemesis;
}

export function makeTroubles(cluster: Suffering, source: (stream: number) => Prng): Troubles {
  const { world, options, network, members } = cluster;
  const { electionTicks, tickMs } = options.settings;
  return {
    nemesis: new Nemesis({
      world,
      prng: source(3),
      options: options.nemesis,
      electionUs: electionTicks * tickMs * 1000,
      network,
      members,
    }),
    aimed: new AimedNemesis({
      world,
      prng: source(6),
      options: options.aimed,
      delayMaxUs: options.network.delayMaxUs,
      network,
      members,
    }),
    storage: new StorageNemesis({
      world,
      prng: source(5),
      options: options.storage,
      members,
      ledger: () => cluster.ledger.lastIndex,
    }),
  };
}
