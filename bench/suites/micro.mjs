/** Parts of the product alone, in one process: codec, raft core, log on memory and on disk, and the whole path of a command. */
import { bundle } from '../../scripts/bundle.mjs';

export const micro = {
  name: 'micro',
  needs: [],
  stages: () => [{ id: 'all' }],
  /** No members. */
  cluster: () => null,
  lifetime: 'run',
  async measure(_system, _stage, context) {
    const entry = await bundle('bench/micro/main.ts', 'quorate-bench', []);
    const folder = context.workspace.path('micro');
    const output = await context.workspace.run(process.execPath, [
      entry,
      folder,
      ...(context.quick ? ['--quick'] : []),
    ]);
    return JSON.parse(output);
  },
};
