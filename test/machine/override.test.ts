/** O1, O2 in the state machine: who may, how many, until when, once, and on what. Signatures are checked before (test/api). */
import { describe, expect, test } from 'vitest';
import { threshold } from '../../src/machine/override/roster.ts';
import type { OverrideAction, Signature } from '../../src/machine/override/types.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import { NONCE_MARGIN_MS, OVERRIDE_EXPIRY_MAX_MS, SUPERVISORS_MAX } from '../../src/types/limits.ts';
import { at, Bench, ref } from './kit.ts';

const MINUTE = 60_000;
const keyOf = (name: string): string => Buffer.from(name.padEnd(32, '.').slice(0, 32)).toString('hex');
const signedBy = (...names: readonly string[]): readonly Signature[] =>
  names.map((supervisor) => ({ supervisor, publicKey: keyOf(supervisor), signature: '0f'.repeat(64) }));

let nonces = 0;
const freshNonce = (): string => (++nonces).toString(16).padStart(32, '0');

type Roster = Extract<CommandBody, { kind: 'changeSupervisors' }>;
type Override = Extract<CommandBody, { kind: 'override' }>;

class OverrideBench extends Bench {
  constructor() {
    super();
    this.done('featureLevelSet', { kind: 'setFeatureLevel', level: 3, pinned: false });
  }

  roster(changes: Roster['changes'], signers: readonly string[] = [], more: Partial<Roster> = {}): Roster {
    const expiresAtMs = at(this.timeMs + MINUTE);
    const signatures = signedBy(...signers);
    return {
      kind: 'changeSupervisors',
      changes,
      signaturesNeeded: null,
      expiresAtMs,
      nonce: freshNonce(),
      signatures,
      ...more,
    };
  }

  supervisors(...names: readonly string[]): this {
    this.done('supervisorsChanged', this.roster(names.map((name) => ({ name, publicKey: keyOf(name) }))));
    return this;
  }

  override(action: OverrideAction, signers: readonly string[], more: Partial<Override> = {}): Override {
    const expiresAtMs = at(this.timeMs + MINUTE);
    const signatures = signedBy(...signers);
    return { kind: 'override', target: 'trace', action, expiresAtMs, nonce: freshNonce(), signatures, ...more };
  }

  /** A run of trace `trace` that is INTERRUPTED and has a recovery. */
  interrupted(loop = 'loop', traceId = 'trace'): this {
    this.createLoop(loop);
    this.begin('ANALYZE', { loop, traceId });
    const fault = { cause: 'OPERATOR', detail: 'stuck', faultAtMs: at(this.timeMs) } as const;
    this.done('phaseInterrupted', { kind: 'interruptPhase', ref: ref('ANALYZE', 1, loop), attempt: 1, ...fault });
    return this;
  }

  stateOf(loop = 'loop'): string | undefined {
    const { recovery } = this.machine.rows;
    return recovery.range('', '\u007f', 100).find(([, row]) => row.loop === loop)?.[1].state;
  }

  /** The command is rejected with `reason`, and leaves only its audit record. */
  refused(body: CommandBody, reason: string): string {
    this.changedRows();
    const rejection = this.rejected(body);
    expect(rejection.reason).toBe(reason);
    expect(this.changedRows().map(({ table }) => table)).toEqual(['audit']);
    return rejection.message;
  }
}

describe('O2: threshold', () => {
  test.each([
    [0, 1],
    [1, 1],
    [2, 1],
    [3, 2],
    [4, 2],
    [5, 3],
    [6, 3],
    [7, 3],
    [64, 3],
  ])('of %i supervisors it takes %i', (supervisors, needed) => expect(threshold(supervisors, 0)).toBe(needed));

  test.each([
    [5, 1, 1],
    [5, 5, 5],
    [4, 5, 4],
    [0, 5, 1],
  ])('of %i supervisors, %i being set, it takes %i', (supervisors, set, needed) =>
    expect(threshold(supervisors, set)).toBe(needed),
  );

  test('may be set, signed as any change of the roster, and holds for overrides and for itself', () => {
    const bench = new OverrideBench().supervisors('ada', 'bob', 'cyd');
    const set = (signaturesNeeded: number, signers: readonly string[]) =>
      bench.roster([], signers, { signaturesNeeded });
    bench.refused(set(3, ['ada']), 'SIGNATURES_TOO_FEW');
    bench.refused(set(4, ['ada', 'bob']), 'INVALID_ARGUMENT');
    bench.refused(set(-1, ['ada', 'bob']), 'INVALID_ARGUMENT');
    bench.refused(bench.roster([], ['ada', 'bob']), 'INVALID_ARGUMENT');
    expect(bench.done('supervisorsChanged', set(3, ['ada', 'bob']))).toMatchObject({ supervisors: 3, threshold: 3 });
    bench.refused(set(1, ['ada', 'bob']), 'SIGNATURES_TOO_FEW');
    const away = bench.roster([{ name: 'cyd', publicKey: '' }], ['ada', 'bob', 'cyd']);
    expect(bench.done('supervisorsChanged', away)).toMatchObject({ supervisors: 2, threshold: 2 });
    const more = bench.roster(
      ['dan', 'eve', 'fay'].map((name) => ({ name, publicKey: keyOf(name) })),
      ['ada', 'bob'],
    );
    expect(bench.done('supervisorsChanged', more)).toMatchObject({ supervisors: 5, threshold: 3 });
    expect(bench.done('supervisorsChanged', set(1, ['ada', 'bob', 'dan']))).toMatchObject({ threshold: 1 });
    expect(bench.done('supervisorsChanged', set(0, ['eve']))).toMatchObject({ threshold: 3 });
  });

  test('may be set with the first supervisors', () => {
    const bench = new OverrideBench();
    const two = ['ada', 'bob'].map((name) => ({ name, publicKey: keyOf(name) }));
    expect(bench.done('supervisorsChanged', bench.roster(two, [], { signaturesNeeded: 2 })).threshold).toBe(2);
  });

  test('is worked out again with each change of the roster', () => {
    const bench = new OverrideBench().supervisors('ada');
    const add = (names: readonly string[], signers: readonly string[]) =>
      bench.done(
        'supervisorsChanged',
        bench.roster(
          names.map((name) => ({ name, publicKey: keyOf(name) })),
          signers,
        ),
      );
    expect(add(['bob', 'cyd'], ['ada'])).toMatchObject({ supervisors: 3, threshold: 2 });
    expect(add(['dan', 'eve'], ['ada', 'cyd'])).toMatchObject({ supervisors: 5, threshold: 3 });
    bench.refused(bench.roster([{ name: 'eve', publicKey: '' }], ['ada', 'bob']), 'SIGNATURES_TOO_FEW');
    const gone = bench.roster([{ name: 'eve', publicKey: '' }], ['ada', 'bob', 'eve']);
    expect(bench.done('supervisorsChanged', gone)).toMatchObject({ supervisors: 4, threshold: 2 });
  });
});

describe('O2: roster', () => {
  test('the first supervisors need no signatures, later ones do', () => {
    const bench = new OverrideBench().supervisors('ada');
    bench.refused(bench.roster([{ name: 'bob', publicKey: keyOf('bob') }]), 'SIGNATURES_TOO_FEW');
    bench.refused(bench.roster([{ name: 'bob', publicKey: keyOf('bob') }], ['bob']), 'SUPERVISOR_UNKNOWN');
  });

  test('the last one stays; in one change somebody else may come', () => {
    const bench = new OverrideBench().supervisors('ada');
    expect(bench.refused(bench.roster([{ name: 'ada', publicKey: '' }], ['ada']), 'INVALID_ARGUMENT')).toContain(
      'Add another',
    );
    const swap = [
      { name: 'ada', publicKey: '' },
      { name: 'bob', publicKey: keyOf('bob') },
    ];
    bench.done('supervisorsChanged', bench.roster(swap, ['ada']));
    expect(bench.machine.rows.supervisor.range('', '\u007f', 10).map(([name]) => name)).toEqual(['bob']);
  });

  test('a key belongs to one name; a new key replaces the old one', () => {
    const bench = new OverrideBench().supervisors('ada', 'bob');
    bench.refused(bench.roster([{ name: 'cyd', publicKey: keyOf('ada') }], ['ada']), 'INVALID_ARGUMENT');
    bench.done('supervisorsChanged', bench.roster([{ name: 'ada', publicKey: keyOf('new') }], ['bob']));
    bench.interrupted();
    bench.refused(bench.override('abort', ['ada']), 'SIGNATURE_INVALID');
  });

  test.each<[string, Partial<Roster>, string]>([
    ['nothing to change', { changes: [] }, 'INVALID_ARGUMENT'],
    [
      'a name twice',
      {
        changes: [
          { name: 'x', publicKey: keyOf('x') },
          { name: 'x', publicKey: '' },
        ],
      },
      'INVALID_ARGUMENT',
    ],
    ['a name that is none', { changes: [{ name: 'a b', publicKey: keyOf('x') }] }, 'INVALID_ARGUMENT'],
    ['a key that is none', { changes: [{ name: 'x', publicKey: 'AB'.repeat(32) }] }, 'INVALID_ARGUMENT'],
    ['nobody to remove', { changes: [{ name: 'x', publicKey: '' }] }, 'SUPERVISOR_UNKNOWN'],
    ['a nonce that is none', { nonce: 'x' }, 'INVALID_ARGUMENT'],
    ['expired', { expiresAtMs: at(1) }, 'OVERRIDE_EXPIRED'],
  ])('refuses %s', (_, more, reason) => {
    const bench = new OverrideBench().supervisors('ada');
    bench.refused(bench.roster([{ name: 'bob', publicKey: keyOf('bob') }], ['ada'], more), reason);
  });

  test('is bounded', () => {
    const bench = new OverrideBench();
    const names = Array.from({ length: SUPERVISORS_MAX }, (_, i) => `s${i}`);
    bench.supervisors(...names);
    const one = bench.roster([{ name: 'more', publicKey: keyOf('more') }], names.slice(0, 3));
    bench.refused(one, 'LIMIT_EXCEEDED');
  });
});

describe('O1: actions', () => {
  test.each<[OverrideAction, string]>([
    ['resume', 'RECONCILE'],
    ['abort', 'HARD_FAILED'],
    ['force-rollback', 'ROLLBACK'],
  ])('%s moves an interrupted run to %s', (action, state) => {
    const bench = new OverrideBench().supervisors('ada').interrupted();
    expect(bench.done('overridden', bench.override(action, ['ada']))).toMatchObject({ recoveries: 1 });
    expect(bench.stateOf()).toBe(state);
    const accepted = bench.events.filter(({ kind }) => kind === 'override.accepted');
    expect(accepted).toMatchObject([{ loop: 'loop', g: 1, phase: 'ANALYZE', outcome: `${action} trace` }]);
  });

  test('moves every recovery of the trace that it applies to, and no other', () => {
    const bench = new OverrideBench()
      .supervisors('ada')
      .interrupted('one')
      .interrupted('two')
      .interrupted('three', 'other');
    expect(bench.done('overridden', bench.override('abort', ['ada']))).toMatchObject({ recoveries: 2 });
    expect(['one', 'two', 'three'].map((loop) => bench.stateOf(loop))).toEqual([
      'HARD_FAILED',
      'HARD_FAILED',
      'INTERRUPTED',
    ]);
  });

  test('a trace without a recovery, and a state that the action does not move', () => {
    const bench = new OverrideBench().supervisors('ada').interrupted();
    bench.refused(bench.override('resume', ['ada'], { target: 'wrong' }), 'OVERRIDE_NO_TARGET');
    bench.done('overridden', bench.override('force-rollback', ['ada']));
    bench.refused(bench.override('abort', ['ada']), 'RECOVERY_STATE');
  });
});

describe('O2: who, until when, once', () => {
  const three = (): OverrideBench => new OverrideBench().supervisors('ada', 'bob', 'cyd').interrupted();

  test('one signature too few, and the same supervisor twice', () => {
    const bench = three();
    bench.refused(bench.override('abort', ['ada']), 'SIGNATURES_TOO_FEW');
    bench.refused(bench.override('abort', ['ada', 'ada']), 'SIGNATURES_TOO_FEW');
    bench.done('overridden', bench.override('abort', ['ada', 'bob']));
  });

  test('nobody on the roster', () => {
    const bench = new OverrideBench().interrupted();
    bench.refused(bench.override('abort', ['ada']), 'SUPERVISOR_UNKNOWN');
    bench.refused(bench.override('abort', []), 'INVALID_ARGUMENT');
  });

  test('a removed supervisor, and a key that is not that of the roster', () => {
    const bench = three();
    bench.done('supervisorsChanged', bench.roster([{ name: 'bob', publicKey: '' }], ['ada', 'bob']));
    bench.refused(bench.override('abort', ['ada', 'bob']), 'SUPERVISOR_UNKNOWN');
    const [ada] = signedBy('ada');
    const signatures = [{ supervisor: 'ada', publicKey: keyOf('cyd'), signature: ada?.signature ?? '' }];
    bench.refused(bench.override('abort', [], { signatures }), 'SIGNATURE_INVALID');
  });

  test('expired, by the time of the state; and too far ahead', () => {
    const bench = three();
    const override = bench.override('abort', ['ada', 'bob'], { expiresAtMs: at(bench.timeMs + 5_000) });
    bench.done('timeAdvanced', { kind: 'advanceTime' }, { timeMs: bench.timeMs + 5_000 });
    // The clock of whoever proposes it may be behind: state time never goes back.
    bench.timeMs -= 4_000;
    expect(bench.rejected(override).reason).toBe('OVERRIDE_EXPIRED');
    bench.timeMs += 4_000;
    const far = { expiresAtMs: at(bench.timeMs + OVERRIDE_EXPIRY_MAX_MS + 1) };
    bench.refused(bench.override('abort', ['ada', 'bob'], far), 'INVALID_ARGUMENT');
  });

  test('replayed: refused as long as it has not expired, and for that afterwards', () => {
    const bench = three();
    const override = bench.override('force-rollback', ['ada', 'bob']);
    bench.done('overridden', override);
    bench.refused(override, 'OVERRIDE_REPLAYED');
    bench.refused({ ...override, action: 'abort' }, 'OVERRIDE_REPLAYED');
    const change = bench.roster([{ name: 'dan', publicKey: keyOf('dan') }], ['ada', 'bob'], { nonce: override.nonce });
    bench.refused(change, 'OVERRIDE_REPLAYED');
    bench.timeMs = override.expiresAtMs;
    expect(bench.rejected(override).reason).toBe('OVERRIDE_EXPIRED');
    bench.done('timeAdvanced', { kind: 'advanceTime' }, { timeMs: override.expiresAtMs + NONCE_MARGIN_MS });
    // That of the first supervisors has gone as well.
    expect(bench.machine.rows.nonce.size).toBe(0);
  });

  test('a refused override uses nothing up: completed, it is carried out', () => {
    const bench = three();
    const override = bench.override('abort', ['ada']);
    bench.refused(override, 'SIGNATURES_TOO_FEW');
    bench.done('overridden', { ...override, signatures: signedBy('ada', 'bob') });
  });

  test.each<[string, Partial<Override>]>([
    ['an unknown action', { action: 'restart' as OverrideAction }],
    ['a trace id of two lines', { target: 'trace\nabort' }],
    ['no trace id', { target: '' }],
    ['a signature that is none', { signatures: [{ supervisor: 'ada', publicKey: keyOf('ada'), signature: 'zz' }] }],
    ['a nonce in capitals', { nonce: 'AB'.repeat(16) }],
  ])('refuses %s', (_, more) => {
    const bench = three();
    bench.refused(bench.override('abort', ['ada', 'bob'], more), 'INVALID_ARGUMENT');
  });

  test('below feature level 3 there is none of it', () => {
    const bench = new Bench();
    const body: Roster = {
      kind: 'changeSupervisors',
      changes: [{ name: 'ada', publicKey: keyOf('ada') }],
      signaturesNeeded: null,
      expiresAtMs: at(bench.timeMs + MINUTE),
      nonce: freshNonce(),
      signatures: [],
    };
    expect(bench.rejected(body).reason).toBe('FEATURE_LEVEL_TOO_LOW');
  });
});
