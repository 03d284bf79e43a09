/** What a member has to do with the world outside of its cluster: compensators, the webhook for alerts, and what effects may cost. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { Budget, type BudgetNotice } from '../budget/budget.ts';
import { AlertDelivery } from '../effector/alert-delivery.ts';
import { AllowList, onlyAllowed } from '../effector/allow-list.ts';
import { documentCheck } from '../effector/document-check.ts';
import { GrpcHook } from '../effector/grpc-hook.ts';
import { HttpHook } from '../effector/http-hook.ts';
import { type HookTls, httpPost, type PostJson } from '../effector/http-post.ts';
import { type CompensatorCalled, RecoveryDriver } from '../effector/recovery-driver.ts';
import { WorkerQueues } from '../effector/worker-queues.ts';
import type { LeaderWork } from '../node/leader-work.ts';
import { JsonSchemas } from '../schema/json-schema.ts';
import type { ServerConfig } from './config.ts';
import type { Resources } from './resources.ts';
import { systemClock } from './system-ports.ts';

/** The webhook's time for a notice that is not in the replicated state, milliseconds. */
const NOTICE_DEADLINE_MS = 10_000;

export interface Outside {
  /** What the leader of a stream does; made anew for each. Workers are those of the only data stream. */
  readonly works: () => readonly LeaderWork[];
  readonly workers: WorkerQueues;
  readonly budget: Budget;
  /** Where compensators may be called; null: everywhere. */
  readonly allowList: AllowList | null;
}

/** Rejects with an error that names the setting whose file cannot be used. `onCall` is for metrics and traces. */
export async function openOutside(
  config: ServerConfig,
  logger: Logger,
  resources: Resources,
  onCall: (called: CompensatorCalled) => void = () => undefined,
): Promise<Outside> {
  const tls = await readTls(config);
  const post = httpPost(tls);
  const budget = await openBudget(config, logger, post);
  resources.add(async () => budget.close());
  const grpc = new GrpcHook(tls.ca === null ? null : tls);
  const workers = new WorkerQueues(systemClock);
  const onBug = (error: unknown): void => logger.error({ err: error }, 'what the leader does failed: this is a bug');
  const http = new HttpHook(post, await readSecret(config));
  const allowList = allowListOf(config);
  const hooks = {
    http: allowList === null ? http : onlyAllowed(allowList, 'http', http),
    grpc: allowList === null ? grpc : onlyAllowed(allowList, 'grpc', grpc),
    worker: workers,
  };
  const schemas = new JsonSchemas();
  const works: (RecoveryDriver | AlertDelivery)[] = [];
  const driver = (): RecoveryDriver =>
    new RecoveryDriver({
      hooks,
      workers,
      checkDocuments: documentCheck((schema, content) => schemas.validate(schema, content), nextTurn),
      onCall: (called) => {
        logCall(logger, called);
        onCall(called);
      },
      onRefused: (body, { reason, message }) =>
        logger.debug(
          { command: body.kind, reason },
          `the state refused what the leader said of a recovery: ${message}`,
        ),
      onBug,
    });
  const alerts = (): AlertDelivery =>
    new AlertDelivery({
      webhook: config.alertWebhook ?? null,
      post,
      clusterId: config.clusterId,
      onGivenUp: ({ alert, name }, error) =>
        logger.error({ alert, name, error }, 'the webhook does not take this alert; it is given up'),
      onBug,
    });
  resources.add(async () => {
    for (const work of works) work.close();
    grpc.close();
  });
  const worksOf = (): readonly LeaderWork[] => {
    const made = [driver(), alerts()];
    works.push(...made);
    return made;
  };
  return { works: worksOf, workers, budget, allowList };
}

function logCall(logger: Logger, { kind, call, outcome, durationMs }: CompensatorCalled): void {
  const { loop, g, phase, key, token, attempt, traceId } = call;
  const fields = { loop, g, phase, key, token, attempt, traceId, kind, durationMs: Math.round(durationMs) };
  if (outcome.kind === 'done') logger.info(fields, 'an effect was compensated');
  else if (outcome.kind === 'stale') logger.warn(fields, 'a compensator has seen a newer token than this leader has');
  else logger.warn({ ...fields, error: outcome.error }, 'a compensator failed');
}

function allowListOf({ hooks: { allow } }: ServerConfig): AllowList | null {
  if (allow === undefined) return null;
  const parsed = AllowList.parse(allow);
  if (!parsed.ok) throw new Error(`hooks.allow: ${parsed.error}`);
  return parsed.value;
}

async function openBudget(config: ServerConfig, logger: Logger, post: PostJson): Promise<Budget> {
  const { budgetFile = null, fxFile = null, alertWebhook = null, clusterId, memberId } = config;
  const opened = await Budget.open({
    budgetFile,
    fxFile,
    wallMs: () => systemClock.wallMs(),
    onNotice: (notice) => {
      logBudget(logger, notice);
      if (notice.kind !== 'fxStale' || alertWebhook === null) return;
      const { date, ageMs } = notice;
      const text = `the exchange rates of member ${memberId} are of ${date}, ${Math.floor(ageMs / 3_600_000)} hours old`;
      // Of this member's file, and so not in the replicated state: told once, and in the log in any case.
      void post({
        url: alertWebhook,
        headers: { 'idempotency-key': `${clusterId}-${memberId}-fx-${date}` },
        body: JSON.stringify({ clusterId, memberId, name: 'fx_stale', text, raisedAtMs: systemClock.wallMs() }),
        deadlineMs: NOTICE_DEADLINE_MS,
        signal: new AbortController().signal,
      });
    },
  });
  if (!opened.ok) throw new Error(opened.error);
  return opened.value;
}

function logBudget(logger: Logger, notice: BudgetNotice): void {
  const { kind, ...fields } = notice;
  if (kind === 'budgetChanged') logger.info(fields, 'a new budget holds');
  else if (kind === 'fxChanged') logger.info(fields, 'new exchange rates hold');
  else if (kind === 'fileBroken') logger.error(fields, 'the file cannot be used; what held before goes on to hold');
  else logger.warn(fields, 'the exchange rates are older than 48 hours; they are used all the same');
}

async function readTls({ hooks }: ServerConfig): Promise<HookTls> {
  const { caFile, certFile, keyFile } = hooks;
  const ca = caFile === undefined ? null : await readSetting('hooks.caFile', caFile);
  const identity =
    certFile === undefined || keyFile === undefined
      ? null
      : { cert: await readSetting('hooks.certFile', certFile), key: await readSetting('hooks.keyFile', keyFile) };
  try {
    // What is no certificate is found now, and not when the first effect has to be undone. Node takes a CA that is none without a word.
    if (ca !== null) checkCertificates(ca.toString('latin1'));
    createSecureContext({ ...(ca === null ? {} : { ca }), ...identity });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`hooks.caFile, hooks.certFile and hooks.keyFile cannot be used together: ${why}`, { cause: error });
  }
  return { ca, identity };
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/gs;

function checkCertificates(pem: string): void {
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new Error('hooks.caFile has no certificate in PEM');
  for (const block of blocks) new X509Certificate(block);
}

async function readSecret({ hooks: { hmacSecretFile } }: ServerConfig): Promise<Buffer | null> {
  if (hmacSecretFile === undefined) return null;
  const secret = (await readSetting('hooks.hmacSecretFile', hmacSecretFile)).toString('utf8').trim();
  if (secret === '') throw new Error(`hooks.hmacSecretFile ${hmacSecretFile}: it is empty; put a secret in it`);
  return Buffer.from(secret, 'utf8');
}

async function readSetting(setting: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new Error(`${setting} ${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
