/**
 * Whoever answers for the agents' work: sets up plan, policy, roster and loops once the cluster is at feature level 3, gives
 * attempts up from outside, and overrides recoveries that wait, are blocked or have failed. Signatures are not looked at by the state
 * machine, only whose they are and with which key.
 */
import type { MachineView } from '../../../src/machine/api.ts';
import type { PolicyValue } from '../../../src/machine/detection/types.ts';
import { OVERRIDE_ACTIONS, type OverrideAction, type Signature } from '../../../src/machine/override/types.ts';
import type { CommandBody, CommandResult } from '../../../src/machine/types.ts';
import { type ClusterTimeMs, clusterTimeMs, DATA_STREAM } from '../../../src/types/ids.ts';
import type { RecoveryOptions } from '../recovery-options.ts';
import { type Stage, WORK_PHASES, WORK_PLAN } from './agent.ts';
import { Caller, type CallerDeps } from './caller.ts';

export interface SupervisorDeps extends CallerDeps {
  readonly recovery: RecoveryOptions;
  readonly stage: Stage;
}

const NAMES = ['ada', 'bob', 'cyd'];
/** What an override is good for, milliseconds of the cluster's clock. */
const VALID_MS = 60_000;

interface Seen {
  readonly nowMs: ClusterTimeMs;
  readonly open: readonly { readonly traceId: string; readonly state: string }[];
  readonly running: readonly {
    readonly loop: string;
    readonly g: number;
    readonly phase: string;
    readonly attempt: number;
  }[];
}

export class Supervisor {
  readonly name: string;
  idle = false;
  /** Overrides that were carried out, by action, and pauses of automation. */
  readonly counts = new Map<string, number>();
  readonly #deps: SupervisorDeps;
  readonly #caller: Caller;
  #nonces = 0;
  /** A pause had no answer: it may be carried out after it was taken back, as there is no session. */
  #unsure = false;

  constructor(deps: SupervisorDeps) {
    this.name = deps.name;
    this.#deps = deps;
    this.#caller = new Caller(deps);
  }

  /** Ends when the board says so. */
  async run(): Promise<void> {
    const { world, prng, board, stage, recovery } = this.#deps;
    await Promise.all(this.#rules().map((body) => this.#insist(body)));
    const loops = stage.jobs.map(({ loop }) => ({ kind: 'createLoop', loop, plan: WORK_PLAN }) as const);
    await Promise.all(loops.map((body) => this.#insist(body)));
    if (!board.ending) this.#handOver();
    stage.ready = true;
    world.note(this.name, 'stage is set', 0, 0, 0);
    while (!board.ending) {
      await world.sleep(prng.below(recovery.supervisorUs) + 1);
      if (board.ending) break;
      if (prng.chance(recovery.pausePermille)) await this.#pause();
      else await this.#look();
    }
    this.idle = true;
  }

  #rules(): readonly CommandBody[] {
    const { recovery } = this.#deps;
    const phases = WORK_PHASES.map((name) => ({ name, priorMs: recovery.priorMs, slaMs: 0 }));
    const values = Object.entries(recovery.policy).map(([name, value]) => ({ name, value }) as PolicyValue);
    return [
      { kind: 'setPolicy', values },
      { kind: 'registerPlan', plan: WORK_PLAN, phases },
      {
        kind: 'changeSupervisors',
        changes: NAMES.map((name) => ({ name, publicKey: keyOf(name) })),
        signaturesNeeded: null,
        expiresAtMs: clusterTimeMs(1),
        nonce: this.#nonce(),
        signatures: [],
      },
    ];
  }

  /** Until it is carried out, or turns out to have been. */
  async #insist(body: CommandBody): Promise<void> {
    const { world, board } = this.#deps;
    while (!board.ending) {
      const fresh = body.kind === 'changeSupervisors' ? { ...body, expiresAtMs: await this.#validUntil() } : body;
      const result = await this.#ask(fresh);
      if (result?.ok === true) return;
      const reason = result?.rejection.reason;
      if (reason === 'PLAN_EXISTS' || reason === 'LOOP_EXISTS' || reason === 'SIGNATURES_TOO_FEW') return;
      await world.sleep(20_000);
    }
  }

  async #validUntil(): Promise<ClusterTimeMs> {
    const now = await this.#caller.read({ kind: 'linearizable' }, (view) => view.timeMs);
    return clusterTimeMs((now ?? 0) + VALID_MS);
  }

  /** A leader goes by the policy that it found when it began. */
  #handOver(): void {
    const { members, prng } = this.#deps;
    const leader = members.find((member) => member.lastStatus?.role === 'leader');
    void leader?.running?.transferLeadership(DATA_STREAM, prng.pick(members).id);
  }

  /** Automation stands still for a while; it goes on whatever else ends. */
  async #pause(): Promise<void> {
    const { world, prng, recovery } = this.#deps;
    if ((await this.#setPaused(1)) === null) this.#unsure = true;
    this.counts.set('pause', (this.counts.get('pause') ?? 0) + 1);
    await world.sleep(prng.below(4 * recovery.supervisorUs) + 1);
    while ((await this.#setPaused(0))?.ok !== true) await world.sleep(20_000);
  }

  /** Looks whether automation is paused although it should not be, and takes that back, if it may be. */
  async unpause(): Promise<void> {
    while (this.#unsure) {
      const paused = await this.#caller.read({ kind: 'linearizable' }, isPaused);
      if (paused === false) return;
      if (paused === null) await this.#deps.world.sleep(20_000);
      else await this.#setPaused(0);
    }
  }

  #setPaused(value: 0 | 1): Promise<CommandResult | null> {
    return this.#ask({ kind: 'setPolicy', values: [{ name: 'automationPaused', value }] });
  }

  async #look(): Promise<void> {
    const { prng } = this.#deps;
    const seen = await this.#caller.read({ kind: 'linearizable' }, look);
    if (seen === null) return;
    if (seen.running.length > 0 && prng.chance(300)) {
      const { attempt, ...ref } = prng.pick(seen.running);
      await this.#ask({
        kind: 'interruptPhase',
        ref,
        attempt,
        cause: 'OPERATOR',
        detail: '',
        faultAtMs: seen.nowMs,
      });
    } else if (seen.open.length > 0) await this.#override(prng.pick(seen.open).traceId, seen.nowMs);
  }

  async #override(target: string, nowMs: ClusterTimeMs): Promise<void> {
    const { prng } = this.#deps;
    const action = prng.pick<OverrideAction>([...OVERRIDE_ACTIONS, 'resume']);
    const result = await this.#ask({
      kind: 'override',
      target,
      action,
      expiresAtMs: clusterTimeMs(nowMs + VALID_MS),
      nonce: this.#nonce(),
      signatures: NAMES.slice(0, prng.chance(900) ? 2 : 1).map(signatureOf),
    });
    if (result?.ok === true) this.counts.set(action, (this.counts.get(action) ?? 0) + 1);
  }

  #ask(body: CommandBody): Promise<CommandResult | null> {
    const { loop, g } = { loop: '', g: 0 };
    const opened = { client: this.name, effect: 'none', loop, g, phase: '', subSteps: [], withSession: false } as const;
    return this.#caller.request(this.#deps.operations.open(opened), body);
  }

  #nonce(): string {
    return String(++this.#nonces).padStart(32, '0');
  }
}

function isPaused({ rows }: MachineView): boolean {
  return rows.policy.get('automationPaused')?.value === 1;
}

/** Of the loops of the agents: what a supervisor can move, and what runs. */
function look(view: MachineView): Seen {
  const { recovery } = view.rows;
  const rows = recovery.range('', '\u007f', recovery.size).map(([, row]) => row);
  const open = rows.filter(
    ({ loop, state, waiting }) =>
      loop.startsWith('work-') &&
      state !== 'CLEAN_EXIT' &&
      state !== 'ROLLBACK' &&
      (state !== 'INTERRUPTED' || waiting !== ''),
  );
  const running = view.loops(null, 1_000).rows.flatMap(({ loop, g }) =>
    loop.startsWith('work-')
      ? view
          .runs(loop, g)
          .filter((run) => run.state === 'RUNNING')
          .map(({ phase, attempt }) => ({ loop, g, phase, attempt }))
      : [],
  );
  return { nowMs: view.timeMs, open: open.map(({ traceId, state }) => ({ traceId, state })), running };
}

/** A different one for each. */
function keyOf(name: string): string {
  const digit = 'abcdef'[NAMES.indexOf(name)] ?? '0';
  return digit.repeat(64);
}

function signatureOf(supervisor: string): Signature {
  return { supervisor, publicKey: keyOf(supervisor), signature: '0'.repeat(128) };
}
