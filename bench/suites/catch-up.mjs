/**
 * A member that was away while 50,000 rows were written, more than the others keep of the log, comes back: until it has applied all that
 * the leader had at that moment. It takes an image of the state and the entries after it. Nothing else is written meanwhile; with
 * writes beside it, test/process/catch-up.test.ts measures.
 */
import { Keys, keyedLoad } from '../lib/loads.mjs';
import { until } from '../lib/workspace.mjs';

const ROWS = 50_000;
const CATCH_UP_MS_MAX = 300_000;

export const catchUp = {
  name: 'catch-up',
  needs: [],
  stages: () => [{ id: 'image' }],
  cluster: (_stage, Kind) => ({ members: 3, flags: Kind.shortLog }),
  lifetime: 'run',
  async measure(system, _stage, context) {
    const leader = await system.settled();
    const away = (leader + 1) % 3;
    await system.kill(away);
    const rows = context.size(ROWS, 2_000);
    const keys = new Keys(rows);
    const address = system.place.clientAddress(leader);
    await keyedLoad(system, rows, (i) => keys.write(system, i), { address });
    const target = await system.appliedBy(leader);
    const startMs = performance.now();
    system.start(away);
    await until(
      `${system.name}: the member catches up`,
      async () => ((await system.appliedBy(away).catch(() => 0)) >= target ? true : null),
      CATCH_UP_MS_MAX,
    );
    return { catch_up_image_s: (performance.now() - startMs) / 1_000 };
  },
};
