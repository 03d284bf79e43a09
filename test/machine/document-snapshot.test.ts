import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ApplyContext } from '../../src/machine/context.ts';
import { firstWatch } from '../../src/machine/detection/watch.ts';
import {
  documentMatches,
  pinSnapshot,
  restoreTouched,
  sha256Hex,
  touchedDocuments,
  unpinSnapshot,
} from '../../src/machine/document/snapshot.ts';
import { documentKey, olderVersions, versionAt } from '../../src/machine/document/store.ts';
import { deleteDocument, putDocument } from '../../src/machine/document/write.ts';
import { runKey } from '../../src/machine/keys.ts';
import { addDefaultPlan } from '../../src/machine/phase/plan.ts';
import { openRound, planOf } from '../../src/machine/phase/round.ts';
import { DEFAULT_MACHINE_LIMITS, MachineState } from '../../src/machine/state.ts';
import { revision } from '../../src/types/ids.ts';
import { deleteBody, Level3, putBody, sha256 } from './document-kit.ts';
import { at, token } from './kit.ts';

const RUN = runKey('loop', 1, 0);

/** The state itself with a loop whose first phase runs and holds a snapshot, without the commands around it. */
class Bare {
  readonly state = new MachineState(DEFAULT_MACHINE_LIMITS);
  readonly outcomes: string[] = [];
  #revision = 1;
  #token = 0;

  constructor() {
    const { state } = this;
    state.meta = { timeMs: at(1_000), term: 1, termStartMs: at(0), firstEventRevision: revision(1) };
    state.feature = { level: 3, used: 1, pinned: false };
    addDefaultPlan(state);
    const loop = {
      loop: 'loop',
      plan: 'default',
      g: 1,
      createdRevision: revision(1),
      changedRevision: revision(1),
      createdAtMs: at(0),
      vectorClock: [],
    };
    state.tables.loop.put('loop', loop);
    openRound(this.context(), loop, planOf(state, loop));
  }

  context(): ApplyContext {
    this.#revision++;
    return {
      state: this.state,
      revision: revision(this.#revision),
      timeMs: at(this.#revision),
      caller: 'agent',
      traceId: 'trace',
      session: null,
      emit: (event) => this.outcomes.push(event.outcome),
    };
  }

  /** Begins the first phase as far as documents care. */
  begin(): void {
    const context = this.context();
    const run = this.state.tables.run.get(RUN);
    if (run === null) throw new Error('no run');
    this.#token = context.revision;
    this.state.tables.run.put(RUN, { ...run, state: 'RUNNING', attempt: 1, token: token(this.#token) });
    this.state.tables.domain.watch.put(RUN, firstWatch(run));
    pinSnapshot(this.state, RUN, context.revision);
  }

  put(name: string, content: string, inside: boolean): void {
    const version = this.state.tables.domain.document.get(documentKey('loop', name))?.version ?? 0;
    const by = inside ? { phase: 'ANALYZE', token: this.#token } : null;
    const outcome = putDocument(this.context(), putBody(name, version, content, by));
    if (!outcome.ok) throw new Error(outcome.error.message);
  }

  /** Nothing happens where there is no document; true when there was one. */
  remove(name: string, inside: boolean): boolean {
    const version = this.state.tables.domain.document.get(documentKey('loop', name))?.version ?? 0;
    const by = inside ? { phase: 'ANALYZE', token: this.#token } : null;
    if (this.content(name) === null) return false;
    const outcome = deleteDocument(this.context(), deleteBody(name, version, by));
    if (!outcome.ok) throw new Error(outcome.error.message);
    return true;
  }

  content(name: string): string | null {
    const row = this.state.tables.domain.document.get(documentKey('loop', name));
    return row === null || row.deleted ? null : row.content;
  }

  restore(limit = 100): void {
    for (let after = ''; ; ) {
      const { restoredThrough, done } = restoreTouched(this.context(), RUN, after, limit);
      if (done) return;
      expect(restoredThrough > after).toBe(true);
      after = restoredThrough;
    }
  }
}

describe('snapshots of documents (P7, V3)', () => {
  it('a rollback goes back to BEGIN_PHASE; writes from outside survive', () => {
    const bare = new Bare();
    for (const name of ['both', 'inside', 'outside', 'untouched']) bare.put(name, `${name} before`, false);
    bare.begin();
    bare.put('inside', 'run 1', true);
    bare.put('inside', 'run 2', true);
    bare.put('outside', 'people', false);
    bare.put('both', 'run', true);
    bare.put('both', 'people', false);
    bare.put('both', 'run again', true);
    bare.put('made', 'by the run', true);
    bare.put('made-over', 'by the run', true);
    bare.put('made-over', 'by people', false);
    const versions = bare.state.tables.domain.document.get('loop inside')?.version;
    bare.restore();
    expect(bare.content('inside')).toBe('inside before');
    expect(bare.content('outside')).toBe('people');
    expect(bare.content('both')).toBe('people');
    expect(bare.content('untouched')).toBe('untouched before');
    expect(bare.content('made')).toBeNull();
    expect(bare.content('made-over')).toBe('by people');
    // Versions never go back.
    expect(bare.state.tables.domain.document.get('loop inside')?.version).toBe((versions ?? 0) + 1);
    expect(bare.outcomes.filter((outcome) => outcome.startsWith('RESTORED'))).toEqual([
      'RESTORED both 5',
      'RESTORED inside 4',
      'RESTORED made 2',
    ]);
  });

  it('piece by piece, and once more from the top, gives the same', () => {
    const bare = new Bare();
    const names = Array.from({ length: 25 }, (_, i) => `doc-${String(i).padStart(2, '0')}`);
    for (const name of names) bare.put(name, `${name} before`, false);
    bare.begin();
    for (const name of names) bare.put(name, 'changed', true);
    expect(restoreTouched(bare.context(), RUN, '', 10)).toEqual({ restoredThrough: 'doc-09', done: false });
    expect(bare.content('doc-09')).toBe('doc-09 before');
    expect(bare.content('doc-10')).toBe('changed');
    bare.restore(7);
    expect(names.every((name) => bare.content(name) === `${name} before`)).toBe(true);
    const { writes } = bare.state.tables.counter;
    bare.restore(7);
    expect(bare.state.tables.counter.writes).toBe(writes);
    // A bound that the number of documents is a multiple of.
    expect(restoreTouched(bare.context(), RUN, 'doc-19', 5)).toEqual({ restoredThrough: 'doc-24', done: false });
    expect(restoreTouched(bare.context(), RUN, 'doc-24', 5)).toEqual({ restoredThrough: 'doc-24', done: true });
  });

  it('versions that a snapshot shows are kept as long as it is held', () => {
    const bare = new Bare();
    bare.put('inside', 'before', false);
    bare.put('outside', 'before', false);
    bare.begin();
    const begun = bare.state.tables.domain.watch.get(RUN)?.snapshotRevision ?? 0;
    for (let i = 0; i < 40; i++) {
      bare.put('inside', `run ${i}`, true);
      bare.put('outside', `people ${i}`, false);
    }
    const rows = bare.state.tables.domain;
    for (const name of ['inside', 'outside']) {
      expect(versionAt(rows, 'loop', name, revision(begun))?.content).toBe('before');
      expect(olderVersions(rows, 'loop', name)).toHaveLength(16);
    }
    bare.restore();
    expect(bare.content('inside')).toBe('before');
    unpinSnapshot(bare.state, RUN);
    bare.put('outside', 'later', false);
    expect(olderVersions(rows, 'loop', 'outside').map(({ content }) => content)).not.toContain('before');
    expect(rows.touched.size).toBe(0);
    expect(rows.documentCount.get(RUN)).toBeNull();
    expect(rows.watch.get(RUN)?.snapshotRevision).toBe(0);
    unpinSnapshot(bare.state, RUN);
  });

  it('a later attempt keeps the snapshot of the first: what that wrote is still there', () => {
    const bare = new Bare();
    bare.put('plan', 'before', false);
    bare.begin();
    bare.put('plan', 'first attempt', true);
    pinSnapshot(bare.state, RUN, revision(999));
    bare.restore();
    expect(bare.content('plan')).toBe('before');
  });

  it('what was touched is shown in name order, and hashes tell damage', () => {
    const bare = new Bare();
    bare.begin();
    for (const name of ['c', 'a', 'b']) bare.put(name, `of ${name}`, true);
    const rows = bare.state.tables.domain;
    expect(touchedDocuments(rows, RUN, '', 2).map(({ name }) => name)).toEqual(['a', 'b']);
    expect(touchedDocuments(rows, RUN, 'b', 2).map(({ name }) => name)).toEqual(['c']);
    const current = touchedDocuments(rows, RUN, '', 1)[0]?.current;
    if (current === undefined) throw new Error('nothing touched');
    expect(documentMatches(current)).toBe(true);
    expect(documentMatches({ ...current, content: 'of b' })).toBe(false);
    expect(documentMatches({ ...current, deleted: true })).toBe(false);
    expect(documentMatches({ ...current, deleted: true, content: '', sha256: '' })).toBe(true);
    for (const text of ['', 'grün', '漢字🙂']) expect(sha256Hex(text)).toBe(sha256(text));
  });

  it('what an earlier run has written and a later one is rolled back to may still be undone itself', () => {
    const bare = new Bare();
    const later = runKey('loop', 1, 1);
    bare.put('plan', 'before', false);
    bare.begin();
    bare.put('plan', 'first run', true);
    // The first run has failed for good, and holds its snapshot until a supervisor decides; the next one goes on.
    const run = bare.state.tables.run.get(later);
    if (run === null) throw new Error('no run');
    bare.state.tables.domain.watch.put(later, firstWatch(run));
    const begun = bare.context();
    bare.state.tables.run.put(later, { ...run, state: 'RUNNING', attempt: 1, token: token(begun.revision) });
    pinSnapshot(bare.state, later, begun.revision);
    const by = { phase: 'BLUEPRINT', token: begun.revision };
    expect(putDocument(bare.context(), putBody('plan', 2, 'second run', by)).ok).toBe(true);
    expect(restoreTouched(bare.context(), later, '', 10).done).toBe(true);
    expect(bare.content('plan')).toBe('first run');
    bare.restore();
    expect(bare.content('plan')).toBe('before');
  });

  it('causal clocks do not go back with the content', () => {
    const bare = new Bare();
    const causal = { causalFields: ['/a'], causalChanged: ['/a'] };
    putDocument(bare.context(), putBody('plan', 0, '{"a":1}', null, causal));
    bare.begin();
    const by = { phase: 'ANALYZE', token: bare.state.tables.run.get(RUN)?.token ?? 0 };
    putDocument(bare.context(), putBody('plan', 1, '{"a":2}', by, { causalChanged: ['/a'] }));
    bare.restore();
    expect(bare.state.tables.domain.document.get('loop plan')).toMatchObject({
      content: '{"a":1}',
      version: 3,
      run: '',
      causalClocks: [[['agent', 2]]],
    });
  });
});

describe('a rollback (property)', () => {
  const write = fc.record({
    name: fc.constantFrom('a', 'b', 'c'),
    /** null: a deletion. */
    content: fc.option(fc.string({ maxLength: 3 })),
    inside: fc.boolean(),
  });

  it('leaves what the writes from outside alone would have left', () => {
    fc.assert(
      fc.property(fc.array(write, { maxLength: 8 }), fc.array(write, { maxLength: 60 }), (before, during) => {
        const bare = new Bare();
        const expected = new Map<string, string | null>();
        const versions = new Map<string, number>();
        const carryOut = ({ name, content, inside }: { name: string; content: string | null; inside: boolean }) => {
          if (content !== null) bare.put(name, content, inside);
          else if (!bare.remove(name, inside)) return;
          if (!inside) expected.set(name, content);
        };
        for (const one of before) carryOut({ ...one, inside: false });
        bare.begin();
        for (const one of during) {
          carryOut(one);
          const version = bare.state.tables.domain.document.get(documentKey('loop', one.name))?.version ?? 0;
          expect(version - (versions.get(one.name) ?? version)).toBeLessThanOrEqual(1);
          versions.set(one.name, version);
        }
        bare.restore(2);
        for (const name of ['a', 'b', 'c']) {
          expect(bare.content(name), name).toBe(expected.get(name) ?? null);
          const row = bare.state.tables.domain.document.get(documentKey('loop', name));
          if (row !== null) expect(documentMatches(row)).toBe(true);
          // Two snapshots' worth at most: the base, the newest from outside, and those that are kept anyway.
          expect(olderVersions(bare.state.tables.domain, 'loop', name).length).toBeLessThanOrEqual(15 + 2);
        }
        unpinSnapshot(bare.state, RUN);
        expect(bare.state.tables.domain.touched.size).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});

describe('BEGIN_PHASE takes a snapshot in constant time (P7)', () => {
  /** A machine with `documents` of them, and what beginning and giving up a phase costs there. */
  function measure(documents: number): { readonly medianMs: number; readonly changedRows: number } {
    const bench = new Level3();
    for (let i = 0; i < documents; i++) bench.put(`doc-${i}`, 0, 'x');
    bench.changedRows();
    const times: number[] = [];
    let changedRows = 0;
    for (let i = 0; i < 400; i++) {
      const startedMs = performance.now();
      const begun = bench.begin('ANALYZE');
      times.push(performance.now() - startedMs);
      const changed = bench.changedRows();
      expect(changed.filter(({ table }) => table.startsWith('document') || table === 'touched')).toEqual([]);
      changedRows = Math.max(changedRows, changed.length);
      bench.done('phaseAborted', {
        kind: 'abortPhase',
        ref: { loop: 'loop', g: 1, phase: 'ANALYZE' },
        token: begun.token,
        reason: '',
        hardFail: false,
        vectorClock: [],
      });
    }
    times.sort((x, y) => x - y);
    return { medianMs: times[200] ?? 0, changedRows };
  }

  it('whatever the number of documents', () => {
    const few = measure(10);
    const many = measure(100_000);
    console.info(
      `BEGIN_PHASE, median of 400: ${(few.medianMs * 1_000).toFixed(1)} µs with 10 documents, ${(many.medianMs * 1_000).toFixed(1)} µs with 100,000`,
    );
    // Of the run, its attempt, its deadlines, the loop, the audit log, and events that make way for new ones.
    expect(Math.max(few.changedRows, many.changedRows)).toBeLessThan(20);
    // Generous: caches are colder in a large state. What grows with the documents would take 10,000 times as long.
    expect(many.medianMs).toBeLessThan(Math.max(few.medianMs * 20, 0.5));
  }, 120_000);
});
