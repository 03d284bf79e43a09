/** One round of the demo: an agent works, the leader is killed, the agent is killed, a second agent finishes. */
import { join } from 'node:path';
import type { PhaseRef, QuorateClient, QuorateReason, Session } from '../client/client.ts';
import { must } from '../types/assert.ts';
import { AgentProcess } from './agent-process.ts';
import { fingerprints, recordedBy, refusalOf } from './checks.ts';
import type { DemoCluster, DemoMember } from './cluster.ts';
import { findRepetitions, readJournal } from './journal.ts';
import { type AgentMessage, formatHolds, type HoldPoint, wallMs } from './protocol.ts';
import { type DemoView, showMessage } from './view.ts';

/** Shares of CONSTRUCT on record at which the leader and then the agent are killed. */
const LEADER_KILL: HoldPoint = { phase: 'CONSTRUCT', share: 0.25 };
const AGENT_KILL: HoldPoint = { phase: 'CONSTRUCT', share: 0.6 };
/** The second agent waits for the replayed token before it records anything. */
const TAKEN_OVER: HoldPoint = { phase: 'CONSTRUCT', share: 0 };
const WORK_PHASES = ['BLUEPRINT', 'CONSTRUCT', 'VALIDATE'] as const;

export interface RoundDeps {
  readonly cluster: DemoCluster;
  readonly client: QuorateClient;
  readonly session: Session;
  readonly view: DemoView;
  readonly cli: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly loop: string;
  readonly folder: string;
  readonly outFolder: string;
  /** For the agents' journals. */
  readonly scratchFolder: string;
  /** Ends the agents that still run. */
  readonly onAgent: (agent: AgentProcess) => void;
}

export interface RoundResult {
  readonly leaderKills: number;
  readonly agentKills: number;
  readonly failoverMs: number;
  readonly staleTokenRefusals: number;
  readonly barrierRefusals: number;
  readonly subStepsRunTwice: number;
  readonly subStepsRedoneUnrecorded: number;
  readonly problems: readonly string[];
}

export class Round {
  readonly #deps: RoundDeps;
  readonly #g: number;
  readonly #construct: PhaseRef;
  readonly #problems: string[] = [];

  constructor(deps: RoundDeps, g: number) {
    this.#deps = deps;
    this.#g = g;
    this.#construct = { loop: deps.loop, g, phase: 'CONSTRUCT' };
  }

  async run(): Promise<RoundResult> {
    const { client, outFolder, view } = this.#deps;
    const first = this.#agent('agent-1', [LEADER_KILL, AGENT_KILL], false);
    await first.next('hold');
    const failoverMs = await this.#killLeader(first);
    const held = first.messages.filter((message) => message.kind === 'hold').length;
    if (held < 2) await first.next('hold');
    view.event('killing the agent (SIGKILL) while it works');
    await first.kill();
    const oldToken = this.#tokenOf(first);
    const owners = await recordedBy(client, this.#construct);
    const before = await fingerprints(outFolder, owners.keys());
    view.event(`${owners.size} sub-steps are on record; a second agent takes the attempt over`);

    const second = this.#agent('agent-2', [TAKEN_OVER], true);
    await second.next('hold');
    const staleTokenRefusals = await this.#replayOldToken(oldToken, owners);
    const barrierRefusals = await this.#beginTooEarly();
    second.go();
    await second.done();
    const after = await fingerprints(outFolder, owners.keys());
    const rewritten = [...before].filter(([path, mark]) => after.get(path) !== mark).map(([path]) => path);
    const repetitions = await this.#countRepetitions(rewritten);
    return {
      leaderKills: 1,
      agentKills: 1,
      failoverMs,
      staleTokenRefusals,
      barrierRefusals,
      ...repetitions,
      problems: this.#problems,
    };
  }

  #agent(caller: string, holds: readonly HoldPoint[], takeOver: boolean): AgentProcess {
    const { cluster, cli, env, loop, folder, outFolder, view, onAgent } = this.#deps;
    const args = ['demo-agent', '--endpoints', cluster.endpoints.join(','), '--caller', caller];
    args.push('--loop', loop, '--g', String(this.#g), '--dir', folder, '--out', outFolder);
    args.push('--journal', this.#journal(caller), '--holds', formatHolds(holds));
    if (takeOver) args.push('--take-over');
    const onMessage = (message: AgentMessage): void => showMessage(view, caller, message);
    const agent = new AgentProcess({ cli, env, args, onMessage });
    onAgent(agent);
    return agent;
  }

  #journal(caller: string): string {
    return join(this.#deps.scratchFolder, `round-${this.#g}-${caller}.jsonl`);
  }

  /** Kills the leader; resolves with the time to the next mutation that a later leader acknowledged, milliseconds. */
  async #killLeader(agent: AgentProcess): Promise<number> {
    const { cluster, view } = this.#deps;
    const leader = await cluster.waitForLeader();
    const term = await this.#termOf(leader);
    view.event(`killing the leader ${leader.id} (SIGKILL)`);
    const killedAtMs = wallMs();
    leader.kill('SIGKILL');
    agent.go();
    const acknowledged = await agent.next('recorded', (message) => message.term > term);
    const failoverMs = Math.round(acknowledged.atMs - killedAtMs);
    const next = await cluster.leader();
    view.event(
      `${next?.id ?? 'another member'} leads; writes went on after ${failoverMs} ms; ${leader.id} is started again`,
    );
    await leader.exited;
    leader.start();
    return failoverMs;
  }

  async #termOf(member: DemoMember): Promise<number> {
    for (const one of await this.#deps.client.status()) {
      if ('status' in one && one.status.memberId === member.id) return must(one.status.streams[0], 'a stream').term;
    }
    throw new Error(`${member.id} led a moment ago and does not answer now`);
  }

  #tokenOf(agent: AgentProcess): number {
    const begun = agent.messages.find((message) => message.kind === 'begun' && message.phase === 'CONSTRUCT');
    return must(begun?.kind === 'begun' ? begun.token : undefined, 'the agent has begun CONSTRUCT');
  }

  /** What a paused agent would do that comes back to life: report, and commit. Both must be refused. */
  async #replayOldToken(token: number, owners: ReadonlyMap<string, number>): Promise<number> {
    const { session, view } = this.#deps;
    const [id = 'none'] = owners.keys();
    const report = { subSteps: [{ id, result: 'written by the dead' }] };
    const answers = [
      await refusalOf(session.reportProgress(this.#construct, token, report)),
      await refusalOf(session.commitPhase(this.#construct, token)),
    ];
    view.event(`the old token ${token}, replayed: ${answers.join(', ')}`);
    return this.#countRefusals(answers, 'STALE_FENCE', 'the old token was not refused');
  }

  async #beginTooEarly(): Promise<number> {
    const { session, view } = this.#deps;
    const next = { loop: this.#construct.loop, g: this.#g + 1, phase: 'ANALYZE' };
    const answer = await refusalOf(session.beginPhase(next));
    view.event(`ANALYZE of round ${next.g}, begun too early: ${answer}`);
    return this.#countRefusals([answer], 'BARRIER_CLOSED', 'the barrier let a phase of the next round in');
  }

  #countRefusals(answers: readonly string[], wanted: QuorateReason, problem: string): number {
    const refused = answers.filter((answer) => answer === wanted).length;
    if (refused < answers.length) this.#problems.push(`round ${this.#g}: ${problem}: ${answers.join(', ')}`);
    return refused;
  }

  async #countRepetitions(
    rewritten: readonly string[],
  ): Promise<Pick<RoundResult, 'subStepsRunTwice' | 'subStepsRedoneUnrecorded'>> {
    const lines = [...readJournal(this.#journal('agent-1')), ...readJournal(this.#journal('agent-2'))];
    const runTwice = new Set(rewritten.map((path) => `CONSTRUCT ${path}`));
    let redone = 0;
    for (const phase of WORK_PHASES) {
      const owners = await recordedBy(this.#deps.client, { ...this.#construct, phase });
      const ofPhase = lines.filter((line) => line.phase === phase);
      const repetitions = findRepetitions(ofPhase, owners);
      for (const id of repetitions.runTwice) runTwice.add(`${phase} ${id}`);
      redone += repetitions.redoneUnrecorded.length;
      const performed = new Set(ofPhase.filter((line) => line.kind === 'performed').map((line) => line.id));
      const invented = [...owners.keys()].filter((id) => !performed.has(id));
      if (invented.length > 0)
        this.#problems.push(
          `round ${this.#g}: ${invented.length} sub-steps of ${phase} are on record that nobody performed`,
        );
    }
    if (runTwice.size > 0) this.#problems.push(`round ${this.#g}: run twice: ${[...runTwice].slice(0, 5).join(', ')}`);
    return { subStepsRunTwice: runTwice.size, subStepsRedoneUnrecorded: redone };
  }
}
