import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Entry, HardState } from '../../src/raft/types.ts';
import type { Wal } from '../../src/wal/types.ts';
import { MemoryDisk } from './memory-disk.ts';
import { CONFIGURATION, contents, entry, hardState, open, STREAM, show } from './support.ts';

/** One append, described without knowing the log it will meet. */
interface Plan {
  readonly termRise: number;
  readonly vote: boolean;
  readonly writeHardState: boolean;
  /** How far back the entries start; 0: right after the last. */
  readonly back: number;
  readonly count: number;
  readonly textLength: number;
}

interface Life {
  readonly plans: readonly Plan[];
  /** Disk operations until the end. */
  readonly operations: number;
  readonly ending: 'power' | 'kill';
  /** Decides what an interrupted disk keeps, and how long each operation takes. */
  readonly seed: number;
  readonly keepPermille: number;
}

const plans = fc.record<Plan>({
  termRise: fc.constantFrom(0, 0, 0, 1, 3),
  vote: fc.boolean(),
  writeHardState: fc.boolean(),
  back: fc.constantFrom(0, 0, 0, 0, 1, 5),
  count: fc.constantFrom(0, 1, 1, 2, 7, 40),
  textLength: fc.constantFrom(0, 10, 100, 700, 3000),
});

const lives = fc.record<Life>({
  plans: fc.array(plans, { minLength: 1, maxLength: 25 }),
  operations: fc.integer({ min: 1, max: 120 }),
  ending: fc.constantFrom('power', 'power', 'kill'),
  seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  keepPermille: fc.constantFrom(0, 100, 500, 900, 1000),
});

/** The log as it must be after a prefix of the appends. */
interface Model {
  readonly hardState: HardState;
  readonly entries: readonly Entry[];
}

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 8;
  };
}

function apply(model: Model, plan: Plan, serial: number): { append: Parameters<Wal['append']>[0]; after: Model } {
  const termRise = plan.writeHardState ? plan.termRise : 0;
  const newTerm = model.hardState.term + termRise;
  const votes = plan.vote && (termRise > 0 || model.hardState.votedFor === null);
  const vote = votes ? 'b' : termRise > 0 ? null : model.hardState.votedFor;
  const state = plan.writeHardState ? hardState(newTerm, vote) : null;
  const back = Math.min(plan.back, model.entries.length);
  const kept = model.entries.slice(0, model.entries.length - back);
  const added = Array.from({ length: plan.count }, (_, i) =>
    entry(kept.length + 1 + i, newTerm, `${serial}.${i} `.padEnd(plan.textLength, `${serial}`)),
  );
  const append = { stream: STREAM, hardState: state, entries: added };
  return {
    append,
    after: { hardState: state ?? model.hardState, entries: plan.count === 0 ? model.entries : [...kept, ...added] },
  };
}

function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface Outcome {
  /** After each append, in order; the first one is what the life began with. */
  readonly models: readonly Model[];
  acknowledged: number;
}

/** Runs one process until its plans or its operations are used up, then ends it. */
async function live(disk: MemoryDisk, begin: Model, life: Life): Promise<Outcome> {
  const next = random(life.seed);
  let left = life.operations;
  disk.before = async () => {
    left -= 1;
    if (left <= 0) await new Promise<never>(() => undefined);
    for (let wait = next() % 4; wait > 0; wait -= 1) await tick();
  };
  const models: Model[] = [begin];
  const outcome: Outcome = { models, acknowledged: 0 };
  const running = (async () => {
    const wal = await open(disk.process(), { segmentBytes: 8 * 1024, compressBytesMin: 256 });
    if (wal.streams.length === 0) await wal.bootstrap(STREAM, CONFIGURATION);
    let model: Model = begin;
    if (begin.hardState.term === 0) {
      model = { ...begin, hardState: hardState(1) };
      models.push(model);
      await wal.append({ stream: STREAM, hardState: model.hardState, entries: [] });
      outcome.acknowledged = 1;
    }
    const answers: Promise<unknown>[] = [];
    for (const [serial, plan] of life.plans.entries()) {
      const { append, after } = apply(model, plan, serial);
      model = after;
      models.push(after);
      const nth = models.length - 1;
      answers.push(
        wal.append(append).then(() => {
          expect(nth).toBeGreaterThan(outcome.acknowledged - 1);
          outcome.acknowledged = nth;
        }),
      );
      if (next() % 3 === 0) await tick();
    }
    await Promise.all(answers);
  })();
  const problem = await Promise.race([running.then(() => null), exhausted(() => left <= 0)]);
  expect(problem).toBeNull();
  if (life.ending === 'kill') disk.kill();
  else disk.crash(() => next() % 1000 < life.keepPermille);
  disk.before = () => undefined;
  return outcome;
}

async function exhausted(ended: () => boolean): Promise<null> {
  while (!ended()) await tick();
  return null;
}

/** What the log holds must be what some prefix of the appends led to, and no acknowledged one may be missing. */
async function check(disk: MemoryDisk, { models, acknowledged }: Outcome): Promise<Model> {
  const wal = await open(disk, { segmentBytes: 8 * 1024, compressBytesMin: 256 });
  const found = await contents(wal);
  await wal.close();
  const shown = JSON.stringify([found?.hardState ?? hardState(0), found?.entries ?? []]);
  const candidates = models.slice(acknowledged);
  const match = candidates.findLast((model) => JSON.stringify([model.hardState, show(model.entries)]) === shown);
  if (match === undefined) {
    expect.fail(`after ${acknowledged} of ${models.length - 1} acknowledged appends the log holds ${shown}`);
  }
  return match;
}

describe('W2 W4: any crash, any subset of what was not synced', () => {
  it('keeps all that was acknowledged, and nothing that was not appended', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(lives, { minLength: 1, maxLength: 4 }), async (all) => {
        const disk = new MemoryDisk();
        let model: Model = { hardState: hardState(0), entries: [] };
        for (const life of all) model = await check(disk, await live(disk, model, life));
      }),
      { numRuns: 250 },
    );
  }, 60_000);
});
