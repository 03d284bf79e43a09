/** Linearizable reads of one small value. */
import { readLoad } from '../lib/loads.mjs';

const REQUESTS = 40_000;

export const read = {
  name: 'read',
  needs: ['h2load'],
  stages: () => [
    { id: '1x1', share: 0.05 },
    { id: '8x32', share: 1 },
  ],
  cluster: () => ({ members: 3 }),
  lifetime: 'suite',
  prepare: (system, context) => readLoad(system, context.workspace, '8x32', context.size(10_000, 500)),
  async measure(system, stage, context) {
    const requests = context.size(REQUESTS, 2_000) * stage.share;
    const { rate, mean, p50, p99 } = await readLoad(system, context.workspace, stage.id, requests);
    const id = `read_${stage.id}`;
    return { [`${id}_rate`]: rate, [`${id}_mean`]: mean, [`${id}_p50`]: p50, [`${id}_p99`]: p99 };
  },
};
