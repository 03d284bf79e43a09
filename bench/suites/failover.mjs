/**
 * From the loss of the leader until a write that was sent after it succeeds at one of the others (A4): by SIGKILL, and by a network that
 * drops what comes in without a word. Each member has a network namespace of its own. One run is one loss; there are 20 of each.
 */
const RUNS = 20;
const ATTEMPT_EVERY_MS = 10;
const ATTEMPT_DEADLINE_MS = 2_000;
const LOSS_MS_MAX = 30_000;

/** The loss comes at any moment of the heartbeat. */
const STEADY_MS = { least: 300, spread: 500 };

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Begins a write at each survivor every 10 ms until one succeeds; milliseconds since the loss. */
async function untilWritten(system, survivors, lostMs) {
  let doneMs = null;
  const attempts = [];
  while (doneMs === null) {
    if (performance.now() - lostMs > LOSS_MS_MAX) throw new Error(`${system.name}: no write within ${LOSS_MS_MAX} ms`);
    for (const i of survivors) {
      const attempt = system.call(i, system.write, ATTEMPT_DEADLINE_MS).then(
        () => {
          doneMs ??= performance.now();
        },
        () => undefined,
      );
      attempts.push(attempt);
    }
    await pause(ATTEMPT_EVERY_MS);
  }
  await Promise.all(attempts);
  return doneMs - lostMs;
}

export const failover = {
  name: 'failover',
  needs: ['root'],
  stages: () => [{ id: 'kill' }, { id: 'partition' }],
  cluster: () => ({ members: 3, machines: true }),
  lifetime: 'suite',
  runs: (_runs, quick) => (quick ? 2 : RUNS),
  async measure(system, { id }) {
    const leader = await system.settled();
    await pause(STEADY_MS.least + Math.random() * STEADY_MS.spread);
    const survivors = system.positions.filter((i) => i !== leader);
    const lostMs = performance.now();
    if (id === 'kill') system.children[leader].kill('SIGKILL');
    else system.place.network.isolate(leader);
    const tookMs = await untilWritten(system, survivors, lostMs);
    if (id === 'kill') {
      await system.children[leader].gone;
      system.start(leader);
    } else system.place.network.heal();
    await system.settled();
    return { [`failover_${id}_ms`]: tookMs };
  },
};
