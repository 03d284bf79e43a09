/**
 * What happens in the recovery demo: an agent dies half way, its work is undone, the leader dies while it undoes, the next one
 * ends it, and a second agent does the work from the beginning.
 */
import type { PhaseRef, QuorateClient, Recovery, RecoveryDetails, Session } from '../client/client.ts';
import { must } from '../types/assert.ts';
import { AgentProcess } from './agent-process.ts';
import { refusalOf } from './checks.ts';
import type { DemoCluster, DemoMember } from './cluster.ts';
import type { Provider } from './provider.ts';
import { CONFIRMED_AT_KILL, DOCUMENTS_OUTSIDE, documentOf, effectKey, THINGS } from './provision.ts';
import { documentProblems } from './recovery-checks.ts';
import { type DemoView, showMessage } from './view.ts';
import { type Expectation, until, within } from './waiting.ts';

/** Longest wait for any one thing that must come, milliseconds. */
const WAIT_MS = 30_000;
/** So many things are unmade when the leader is killed, and the next one is under way. */
const UNMADE_AT_KILL = 2;
/** From the end of the timeout to the record of it: a tick of the detector and the way through the log, on a busy machine. */
const DETECT_SLACK_MS = 1_000;

export interface StoryDeps {
  readonly cluster: DemoCluster;
  readonly client: QuorateClient;
  readonly session: Session;
  readonly provider: Provider;
  readonly view: DemoView;
  readonly cli: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Ends the agents that still run. */
  readonly onAgent: (agent: AgentProcess) => void;
}

export interface StoryResult {
  readonly staleRefused: number;
  readonly barrierRefusals: number;
  readonly leaderKills: number;
  readonly agentKills: number;
  /** From the begin of the attempt to the record that it is interrupted. */
  readonly detectMs: number;
  /** k × P95 of the attempt. */
  readonly timeoutMs: number;
  /** From the record of the interruption to the end of the rollback. */
  readonly recoveryMs: number;
  readonly problems: readonly string[];
}

export class RecoveryStory {
  readonly #deps: StoryDeps;
  readonly #construct: PhaseRef;
  readonly #problems: string[] = [];
  #staleRefused = 0;
  #barrierRefusals = 0;

  /** `construct`: the run that is interrupted. */
  constructor(deps: StoryDeps, construct: PhaseRef) {
    this.#deps = deps;
    this.#construct = construct;
  }

  async run(): Promise<StoryResult> {
    const { view } = this.#deps;
    const { token, timeoutMs } = await this.#dieHalfWay();
    view.event(`nobody says so; the timeout of the attempt is ${timeoutMs} ms`);
    const release = await this.#holdCompensator();
    const { recovery } = await this.#recovery('is in ROLLBACK', ({ state }) => state === 'ROLLBACK');
    const detectMs = await this.#checkDetection(recovery, timeoutMs);
    await this.#refuseTheDead(token);
    const killed = await this.#killLeader(recovery, release);
    const done = (await this.#recovery('is over', ({ result }) => result !== null)).recovery;
    const recoveryMs = must(done.finishedAtMs, 'a recovery that is over has its time') - done.detectedAtMs;
    view.event(`rolled back ${recoveryMs} ms after the interruption; ${killed.id} is started again`);
    if (done.result !== 'ROLLED_BACK') this.#problems.push(`the recovery ended as ${done.state}, ${done.result}`);
    killed.start();
    await this.#checkUndone();
    await this.#doItAgain();
    return {
      staleRefused: this.#staleRefused,
      barrierRefusals: this.#barrierRefusals,
      leaderKills: 1,
      agentKills: 1,
      detectMs,
      timeoutMs,
      recoveryMs,
      problems: this.#problems,
    };
  }

  /** Resolves with the token and the timeout of the attempt that nobody works on any more. */
  async #dieHalfWay(): Promise<{ readonly token: number; readonly timeoutMs: number }> {
    const { client, session, view } = this.#deps;
    const { loop } = this.#construct;
    const agent = this.#agent('agent-1', CONFIRMED_AT_KILL);
    await agent.next('hold');
    for (const [name, content] of Object.entries(DOCUMENTS_OUTSIDE)) {
      const expectedVersion = (await documentOf(client, loop, name))?.version ?? 0;
      await session.documents.put(loop, name, content, { expectedVersion });
    }
    const { running } = await client.recoveries.detection(loop);
    const watched = running.find(({ ref }) => ref.phase === this.#construct.phase);
    const begun = agent.messages.find((message) => message.kind === 'begun' && message.phase === 'CONSTRUCT');
    await agent.kill();
    const doubt = THINGS[CONFIRMED_AT_KILL];
    view.event(
      `agent-1 killed (SIGKILL): ${CONFIRMED_AT_KILL} things made and confirmed, ${doubt} made and not confirmed`,
    );
    return {
      token: must(begun?.kind === 'begun' ? begun.token : undefined, 'the agent has begun CONSTRUCT'),
      timeoutMs: must(watched, 'the attempt is watched').timeoutMs,
    };
  }

  /** Resolves when a call of a compensator is under way and held, with what lets it go on. */
  async #holdCompensator(): Promise<() => void> {
    const { provider } = this.#deps;
    const unmade = (): number =>
      provider.calls.filter(({ kind, outcome }) => kind === 'unmake' && outcome === 'done').length;
    await within(
      provider.call(() => unmade() >= UNMADE_AT_KILL),
      this.#expect('the first things are unmade'),
    );
    // The next call comes after an answer and a way through the log: what is set here is set before it.
    let release: () => void = () => undefined;
    provider.hold = new Promise((resolve) => {
      release = resolve;
    });
    await within(provider.arrival(), this.#expect('the next thing is to be unmade'));
    return release;
  }

  async #checkDetection({ attempt, cause, detectedAtMs }: Recovery, timeoutMs: number): Promise<number> {
    const { client, view } = this.#deps;
    const { attempts } = await client.getPhaseRun(this.#construct);
    const begunAtMs = attempts.find((one) => one.attempt === attempt)?.startedAtMs ?? 0;
    const detectMs = detectedAtMs - begunAtMs;
    view.event(`the attempt was interrupted (${cause}) ${detectMs} ms after its begin; ROLLBACK, newest effect first`);
    if (cause !== 'TIMEOUT' || detectMs < timeoutMs || detectMs > timeoutMs + DETECT_SLACK_MS) {
      this.#problems.push(`interrupted for ${cause} after ${detectMs} ms; the timeout is ${timeoutMs} ms`);
    }
    return detectMs;
  }

  /** While the recovery is under way: what the dead agent may still have on its way, and who is too early. */
  async #refuseTheDead(token: number): Promise<void> {
    const { session, view } = this.#deps;
    const construct = this.#construct;
    const key = effectKey(construct, 1, THINGS[CONFIRMED_AT_KILL] ?? '');
    const stale = [
      await refusalOf(session.ledger.confirm(construct, token, key)),
      await refusalOf(session.commitPhase(construct, token)),
    ];
    const early = await refusalOf(session.beginPhase({ ...construct, g: construct.g + 1, phase: 'ANALYZE' }));
    view.event(`the dead agent's token ${token}, replayed: ${stale.join(', ')}; round ${construct.g + 1}: ${early}`);
    const refused = stale.filter((reason) => reason === 'PHASE_INTERRUPTED' || reason === 'STALE_FENCE').length;
    if (refused < stale.length) this.#problems.push(`the dead agent's token was not refused: ${stale.join(', ')}`);
    this.#staleRefused += refused;
    if (early === 'BARRIER_CLOSED') this.#barrierRefusals += 1;
    else this.#problems.push(`the barrier let the next round in during the recovery: ${early}`);
  }

  /** Kills the leader with its call under way; that call arrives when the next leader has asked for the same. */
  async #killLeader({ token }: Recovery, release: () => void): Promise<DemoMember> {
    const { cluster, provider, view } = this.#deps;
    const leader = await cluster.waitForLeader();
    view.event(`killing the leader ${leader.id} (SIGKILL) while its call to a compensator is under way`);
    leader.kill('SIGKILL');
    await leader.exited;
    provider.hold = Promise.resolve();
    const asked = await within(
      provider.call((call) => call.kind === 'unmake' && call.token > token),
      this.#expect('the next leader goes on'),
    );
    const next = await cluster.waitForLeader();
    view.event(`${next.id} leads and goes on with token ${asked.token}; the call of ${leader.id} comes late`);
    release();
    const late = await within(
      provider.call((call) => call.kind === 'unmake' && call.token < asked.token && call.key === asked.key),
      this.#expect('the late call is answered'),
    );
    view.event(`its token ${late.token}: ${late.outcome}`);
    if (late.outcome === 'stale') this.#staleRefused += 1;
    else this.#problems.push(`the late call of the dead leader was not refused: ${late.outcome}`);
    return leader;
  }

  async #checkUndone(): Promise<void> {
    const { client, provider, view } = this.#deps;
    const problems = await documentProblems(client, this.#construct.loop);
    if (provider.things.length > 0) problems.push(`after the rollback there still are ${provider.things.join(', ')}`);
    this.#problems.push(...problems);
    if (problems.length === 0) view.event('nothing is left of it; documents are as before, what others wrote is kept');
  }

  /** A second agent begins the phase again; then the barrier opens. */
  async #doItAgain(): Promise<void> {
    const { client, session, view } = this.#deps;
    const { loop, g } = this.#construct;
    await within(this.#agent('agent-2', null).done(), this.#expect('the second agent comes through'));
    const opened = (await client.getLoop(loop)).loop.g;
    const next = { loop, g: g + 1, phase: 'ANALYZE' };
    const answer = await refusalOf(session.beginPhase(next));
    view.event(`round ${opened} is open; its ${next.phase}: ${answer}`);
    if (opened !== g + 1 || answer !== 'ACCEPTED') this.#problems.push(`the open round is ${opened}; ${answer}`);
  }

  #agent(caller: string, holdAt: number | null): AgentProcess {
    const { cluster, provider, cli, env, view, onAgent } = this.#deps;
    const { loop, g } = this.#construct;
    const args = ['demo-provision-agent', '--endpoints', cluster.endpoints.join(','), '--caller', caller];
    args.push('--loop', loop, '--g', String(g), '--provider', provider.url);
    if (holdAt !== null) args.push('--hold-at', String(holdAt));
    const agent = new AgentProcess({ cli, env, args, onMessage: (message) => showMessage(view, caller, message) });
    onAgent(agent);
    return agent;
  }

  /** The recovery of the run, as soon as it fits. */
  #recovery(what: string, fits: (recovery: Recovery) => boolean): Promise<RecoveryDetails> {
    return until(
      async () => {
        const details = await this.#deps.client.recoveries.get(this.#construct);
        return fits(details.recovery) ? details : null;
      },
      this.#expect(`the recovery ${what}`),
    );
  }

  #expect(what: string): Expectation {
    return { what, timeoutMs: WAIT_MS, signal: this.#deps.signal };
  }
}
