/** Small writes with 256 in flight to clusters of one, three and five members, all on this machine. */
import { writeLoad } from '../lib/loads.mjs';

const REQUESTS = 30_000;

export const clusterSize = {
  name: 'cluster-size',
  needs: ['h2load'],
  stages: () => [1, 3, 5].map((members) => ({ id: String(members), members })),
  cluster: ({ members }) => ({ members }),
  lifetime: 'stage',
  prepare: (system, context) => writeLoad(system, context.workspace, '8x32', context.size(10_000, 500)),
  async measure(system, { id }, context) {
    const requests = context.size(REQUESTS, 1_000);
    const { rate, p99, cpuPer1000 } = await writeLoad(system, context.workspace, '8x32', requests);
    const name = `cluster_size_${id}`;
    return { [`${name}_rate`]: rate, [`${name}_p99`]: p99, [`${name}_cpu`]: cpuPer1000 };
  },
};
