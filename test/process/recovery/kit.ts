/** A cluster with short timers, an outside world that makes and unmakes things, and what tests of recoveries do with them. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type PhaseRef,
  QuorateClient,
  QuorateError,
  type RecoveryDetails,
  type Session,
} from '../../../src/client/client.ts';
import { Provider } from '../../../src/demo/provider.ts';
import { type DevCluster, startDevCluster } from '../../../src/server/dev.ts';
import { FEATURE_LEVEL } from '../../../src/types/feature-level.ts';
import { cliPath } from '../../support/build.ts';
import { waitFor } from '../wait.ts';

/** Everything that a person would wait for, within one test. */
export const POLICY = {
  heartbeatMs: 500,
  compensatorBackoffMs: 20,
  compensatorBackoffMaxMs: 200,
  compensatorDeadlineMs: 10_000,
  circuitMs: 600,
  blockedMs: 1_500,
} as const;

/** Prior of each phase of the plan `quick`, milliseconds: its first timeout is 1.6 · (1 + 1.6448536 / 2) of it. */
export const PRIOR_MS = 1_000;
export const FIRST_TIMEOUT_MS = Math.ceil(1.6 * PRIOR_MS * (1 + 1.6448536 / 2));
const WAIT_MS = 30_000;

export class RecoveryKit {
  readonly folder: string;
  readonly cluster: DevCluster;
  readonly client: QuorateClient;
  readonly session: Session;
  readonly provider: Provider;

  private constructor(
    folder: string,
    cluster: DevCluster,
    client: QuorateClient,
    session: Session,
    provider: Provider,
  ) {
    this.folder = folder;
    this.cluster = cluster;
    this.client = client;
    this.session = session;
    this.provider = provider;
  }

  static async start(name: string, flags: readonly string[] = [], members = 3): Promise<RecoveryKit> {
    const folder = await mkdtemp(join(tmpdir(), `quorate-${name}-`));
    const provider = await Provider.start();
    const cluster = await startDevCluster({ members, dataDir: folder, cli: cliPath, flags });
    const client = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'test', deadlineMs: WAIT_MS });
    const session = await client.openSession({ ttlMs: 600_000 });
    const kit = new RecoveryKit(folder, cluster, client, session, provider);
    await waitFor(
      async () => (await client.featureLevel()).level === FEATURE_LEVEL,
      WAIT_MS,
      'the feature level rises',
    );
    await session.setPolicy(POLICY);
    // The detector of a new leader holds still for one heartbeat interval: this one has begun with that of the default policy.
    if (members > 1) await client.transferLeadership();
    const phases = ['ANALYZE', 'CONSTRUCT', 'VALIDATE'].map((phase) => ({ name: phase, priorMs: PRIOR_MS, slaMs: 0 }));
    await session.registerPlan({ name: 'quick', phases });
    return kit;
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.cluster.stop();
    await this.provider.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A loop in its first round with ANALYZE done: CONSTRUCT may begin. */
  async loop(name: string): Promise<PhaseRef> {
    await this.session.createLoop(name, { plan: 'quick' });
    return this.readyFor(name, 1);
  }

  async readyFor(loop: string, g: number): Promise<PhaseRef> {
    const analyze = { loop, g, phase: 'ANALYZE' };
    const { token } = await this.session.beginPhase(analyze);
    await this.session.commitPhase(analyze, token);
    return { loop, g, phase: 'CONSTRUCT' };
  }

  /** Makes things in the outside world, each on record before and after. Resolves with the keys. */
  async make(ref: PhaseRef, token: number, count: number, from = 1): Promise<readonly string[]> {
    const keys: string[] = [];
    for (let i = from; i < from + count; i++) {
      const key = `${ref.loop}-${ref.g}-thing-${i}`;
      keys.push(key);
      await this.session.ledger.effect(
        ref,
        token,
        { key, description: `thing ${i}`, compensator: this.compensator },
        async () => {
          await this.post(key);
          return key;
        },
      );
    }
    return keys;
  }

  /** Makes a thing, and does not come to confirm it. */
  async intend(ref: PhaseRef, token: number, key: string): Promise<void> {
    await this.session.ledger.intent(ref, token, { key, compensator: this.compensator });
    await this.post(key);
  }

  get compensator(): { readonly kind: 'http'; readonly target: string } {
    return { kind: 'http', target: `${this.provider.url}/compensate` };
  }

  async post(key: string): Promise<void> {
    const response = await fetch(`${this.provider.url}/things`, {
      method: 'POST',
      body: JSON.stringify({ key, name: key }),
    });
    if (!response.ok) throw new Error(`the provider answered ${response.status}`);
  }

  /** Waits until the newest recovery of the run fits. */
  async recovery(
    ref: PhaseRef,
    what: string,
    fits: (details: RecoveryDetails) => boolean,
    timeoutMs = WAIT_MS,
  ): Promise<RecoveryDetails> {
    let found: RecoveryDetails | null = null;
    await waitFor(
      async () => {
        found = await this.client.recoveries.get(ref).catch((error: unknown) => {
          if (error instanceof QuorateError && error.reason === 'RECOVERY_NOT_FOUND') return null;
          throw error;
        });
        return found !== null && fits(found);
      },
      timeoutMs,
      `${ref.loop}/${ref.g}/${ref.phase}: ${what}`,
    );
    if (found === null) throw new Error('waitFor has seen it');
    return found;
  }

  nonce(): string {
    return randomBytes(16).toString('hex');
  }

  /** A minute from now, by the cluster's clock. */
  async soonMs(): Promise<number> {
    return (await this.client.overrides.roster()).clusterTimeMs + 60_000;
  }

  /** The reason of a refusal, or `carried out`. */
  async reasonOf(call: Promise<unknown>): Promise<string> {
    return call.then(
      () => 'carried out',
      (error: unknown) => (error instanceof QuorateError ? error.reason : String(error)),
    );
  }

  /** Keys that were unmade, in that order. */
  unmade(): readonly string[] {
    return this.provider.calls
      .filter(({ kind, outcome }) => kind === 'unmake' && outcome === 'done')
      .map(({ key }) => key);
  }
}
