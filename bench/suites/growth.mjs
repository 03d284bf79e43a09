/**
 * What a write costs when there are 1,000, 100,000 and 1,000,000 rows: CPU time of the members for 1,000 writes to rows that exist, and the
 * rate with 64 in flight. Between the stages rows are added; each stage is measured in turn with the peer.
 */
import { Keys, keyedLoad } from '../lib/loads.mjs';

const ROWS = [1_000, 100_000, 1_000_000];
const QUICK_ROWS = [200, 1_000, 2_000];
const WRITES = 20_000;
const IN_FLIGHT = 64;
/** A prime: the keys come in an order of their own, each once before one comes again. */
const STRIDE = 7_919;

const states = new WeakMap();

export const growth = {
  name: 'growth',
  needs: [],
  stages: (quick) => ROWS.map((rows, i) => ({ id: String(rows), rows: quick ? QUICK_ROWS[i] : rows })),
  cluster: () => ({ members: 3 }),
  lifetime: 'suite',
  async prepare(system) {
    states.set(system, new Keys(0, STRIDE));
  },
  /** Before the runs of a stage. */
  async enter(system, { rows }, context) {
    const keys = states.get(system);
    const first = keys.count;
    keys.grow(rows);
    await keyedLoad(system, rows - first, (i) => keys.write(system, first + i));
    await keyedLoad(system, context.size(WRITES, 500), () => keys.next(system), { inFlight: IN_FLIGHT });
  },
  async measure(system, { id }, context) {
    const keys = states.get(system);
    const writes = context.size(WRITES, 500);
    const { rate, cpuPer1000 } = await keyedLoad(system, writes, () => keys.next(system), { inFlight: IN_FLIGHT });
    return { [`growth_rows_${id}_rate`]: rate, [`growth_rows_${id}_cpu`]: cpuPer1000 };
  },
};
