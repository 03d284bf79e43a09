/** RL: after healing, every interrupted run comes to CLEAN_EXIT or HARD_FAILED, or waits for a supervisor, within a bound. */
import type { MachineView } from '../../../src/machine/api.ts';
import type { RecoveryRow } from '../../../src/machine/recovery/types.ts';
import { DATA_STREAM } from '../../../src/types/ids.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { runName } from './history.ts';

/** Some of what is waited for has lengths of its own, election timeouts or not. */
const BOUND_US = 30_000_000;
/** Between two looks. */
const EVENTS_BETWEEN = 32;
const END = '\u007f';

/** True when nothing is left, or nothing was ever begun. */
export async function checkRecoveries(cluster: Cluster, leader: () => MachineView | null): Promise<boolean> {
  if (!cluster.recoveries.playing) return true;
  const { world } = cluster;
  let looks = 0;
  let left: readonly RecoveryRow[] = [];
  const done = (): boolean => {
    looks += 1;
    if (looks % EVENTS_BETWEEN !== 1) return false;
    const view = leader();
    if (view === null) return false;
    left = open(view);
    return left.length === 0;
  };
  const endUs = world.nowUs + BOUND_US;
  cluster.recoveries.unpause().catch((error: unknown) => cluster.violate('CR', String(error)));
  await world.run(endUs, done, () => cluster.check());
  if (world.violation !== null) return false;
  if (left.length === 0 && world.nowUs < endUs) return true;
  const what = left.map((row) => `${runName(row)} ${row.state} ${row.step} of effect ${row.seq}, try ${row.tries}`);
  cluster.violate('RL', `recoveries do not end: ${what.join('; ') || 'no leader'}`);
  return false;
}

function open(view: MachineView): readonly RecoveryRow[] {
  const { recovery } = view.rows;
  const rows = recovery.range('', END, recovery.size).map(([, row]) => row);
  return rows.filter(({ state, waiting }) => {
    if (state === 'CLEAN_EXIT' || state === 'HARD_FAILED') return false;
    return state !== 'INTERRUPTED' || waiting === '';
  });
}

/** The state of the member that leads, as it has applied it. */
export function viewOf(leader: { readonly running: Cluster['members'][number]['running'] } | null): MachineView | null {
  return leader?.running?.local(DATA_STREAM) ?? null;
}
