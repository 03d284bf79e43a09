/**
 * The configuration of a member: flag over environment over file over default. Reads nothing from disk itself; the
 * caller hands in the file's text.
 */
import { isAbsolute, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import { type ClusterId, clusterId, type MemberId, memberId } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';
import { type ConfigFile, type FileValues, readConfigFile } from './config-file.ts';
import { type ConfigProblem, unknownMessage } from './config-problem.ts';
import { type ServerConfigInput, serverConfigSchema } from './config-schema.ts';
import { SETTINGS, type Setting } from './config-settings.ts';

export interface MemberAddress {
  readonly id: MemberId;
  /** host:port where it serves other members. */
  readonly peerAddress: string;
  /** host:port where it serves clients. */
  readonly clientAddress: string;
}

/** Checked; everything filled in. Addresses are `host:port`. */
export interface ServerConfig {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** Absolute. */
  readonly dataDir: string;
  readonly clientListen: string;
  readonly peerListen: string;
  /** '': no HTTP port. */
  readonly httpListen: string;
  /** 1 to 7, `memberId` among them; ids and addresses are distinct. Who belongs to the cluster is for its log to say. */
  readonly members: readonly MemberAddress[];
  /** Waits to be added to a cluster when its data folder is new. */
  readonly join: boolean;
  readonly raft: {
    readonly tickMs: number;
    readonly electionTicks: number;
    readonly heartbeatTicks: number;
    readonly leaseTicks: number;
    readonly leaseMs: number;
  };
  readonly wal: ServerConfigInput['wal'];
  readonly limits: {
    readonly proposalsMax: number;
    readonly proposalBytesMax: number;
    readonly uncommittedBytesMax: number;
    readonly logCacheBytesMax: number;
  };
  readonly storeFlushMs: number;
  readonly storeFlushBytes: number;
  readonly partitionMs: number;
  readonly featureLevelMax: number;
  /** Absolute, as all of them; left out: there is none. */
  readonly budgetFile?: string;
  readonly fxFile?: string;
  readonly alertWebhook?: string;
  /** PEM files and the secret for compensators and the webhook. `certFile` and `keyFile` come together. */
  readonly hooks: Partial<Record<'caFile' | 'certFile' | 'keyFile' | 'hmacSecretFile' | 'allow', string>>;
  /** `folder` is absolute; left out: nothing is traced. */
  readonly trace: { readonly folder?: string; readonly bytesMax: number };
  readonly log: ServerConfigInput['log'];
}

export interface ConfigSource {
  readonly from: 'flag' | 'env' | 'file' | 'default';
  /** The flag, the variable or file:line; for a default, what it was taken from, or ''. */
  readonly where: string;
}

export interface LoadedConfig {
  readonly config: ServerConfig;
  /** By dotted path, one for each setting. */
  readonly sources: ReadonlyMap<string, ConfigSource>;
}

export interface ConfigInput {
  /** Text given with flags, by dotted path of the setting. */
  readonly flags: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file: ConfigFile | null;
}

/** Variables that other commands read, so that one environment can serve them all. */
export const OTHER_VARIABLES = [
  'QUORATE_CONFIG',
  'QUORATE_ENDPOINTS',
  'QUORATE_CALLER',
  'QUORATE_DEADLINE',
  'QUORATE_DEBUG',
] as const;

/** Set by Kubernetes in every container for a service named `quorate…`; not meant for us. */
const KUBERNETES_VARIABLE = /_SERVICE_(HOST|PORT)(_|$)|_PORT$|_PORT_\d+_(TCP|UDP|SCTP)(_|$)/;

interface Given {
  readonly value: unknown;
  readonly source: ConfigSource;
}

function fromText(setting: Setting, text: string): Result<unknown, string> {
  if (setting.kind === 'number') return ok(/^-?\d+$/.test(text.trim()) ? Number(text) : text);
  if (setting.kind === 'boolean') return ok({ true: true, false: false }[text.trim()] ?? text);
  if (setting.kind === 'text') return ok(text);
  try {
    const value: unknown = parseYaml(text);
    return ok(value);
  } catch {
    return err('must be a list in YAML or JSON, such as [{id: a, peerAddress: "h:7501", clientAddress: "h:7401"}]');
  }
}

function unknownVariables(env: ConfigInput['env']): ConfigProblem[] {
  const known = new Set<string>([...SETTINGS.map((setting) => setting.env), ...OTHER_VARIABLES]);
  return Object.keys(env)
    .filter((name) => name.startsWith('QUORATE_') && !known.has(name) && !KUBERNETES_VARIABLE.test(name))
    .sort()
    .map((name) => ({ path: '', where: name, message: unknownMessage(name, [...known]) }));
}

function pick(setting: Setting, input: ConfigInput, file: FileValues | null): Result<Given | null, ConfigProblem> {
  const flag = input.flags.get(setting.path);
  const variable = input.env[setting.env];
  const text = flag ?? variable;
  if (text !== undefined) {
    const source: ConfigSource =
      flag === undefined ? { from: 'env', where: setting.env } : { from: 'flag', where: setting.flag };
    const value = fromText(setting, text);
    if (!value.ok) return err({ path: setting.path, where: source.where, message: value.error });
    return ok({ value: value.value, source });
  }
  if (file?.values.has(setting.path) === true) {
    const source: ConfigSource = { from: 'file', where: file.where(setting.keys) };
    return ok({ value: file.values.get(setting.path), source });
  }
  if (setting.defaultValue === undefined) return ok(null);
  return ok({ value: setting.defaultValue, source: { from: 'default', where: '' } });
}

function nest(given: ReadonlyMap<string, Given>): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const setting of SETTINGS) {
    const found = given.get(setting.path);
    if (found === undefined) continue;
    const [first = '', second] = setting.keys;
    if (second === undefined) {
      root[first] = found.value;
    } else {
      const group = (root[first] ?? {}) as Record<string, unknown>;
      group[second] = found.value;
      root[first] = group;
    }
  }
  return root;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function schemaProblem(
  issue: z.core.$ZodIssue,
  given: ReadonlyMap<string, Given>,
  file: FileValues | null,
): ConfigProblem {
  const setting = SETTINGS.find((s) => s.keys.every((key, i) => issue.path[i] === key));
  const path = issue.path.map(String).join('.');
  if (setting === undefined) return { path, where: null, message: issue.message };
  const found = given.get(setting.path);
  if (found === undefined) {
    const how = `give it in the file, with ${setting.flag} or as ${setting.env}`;
    return { path, where: null, message: `is missing; ${how}. ${setting.help}` };
  }
  const where = found.source.from === 'file' && file !== null ? file.where(issue.path) : found.source.where;
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const nearestKey = unknownMessage(key, ['id', 'peerAddress', 'clientAddress']);
    return {
      path: `${path}.${key}`,
      where: file !== null && found.source.from === 'file' ? file.where([...issue.path, key]) : where,
      message: nearestKey,
    };
  }
  let value = found.value;
  for (const key of issue.path.slice(setting.keys.length)) value = (value as Record<PropertyKey, unknown>)?.[key];
  return { path, where, message: `${issue.message}, not ${value === undefined ? 'missing' : show(value)}` };
}

/** What no single setting can tell. */
function relationProblems(config: ServerConfigInput, sources: ReadonlyMap<string, ConfigSource>): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const problem = (path: string, message: string): void => {
    problems.push({ path, where: sources.get(path)?.where || null, message });
  };
  const { raft, limits, members } = config;
  if (raft.heartbeatTicks * 2 >= raft.electionTicks) {
    const fix = `lower it to ${Math.max(1, Math.ceil(raft.electionTicks / 2) - 1)} or raise raft.electionTicks`;
    problem(
      'raft.heartbeatTicks',
      `${raft.heartbeatTicks} must be less than half of raft.electionTicks (${raft.electionTicks}), or followers give up on a healthy leader; ${fix}`,
    );
  }
  if (limits.proposalBytesMax > limits.uncommittedBytesMax) {
    problem(
      'limits.proposalBytesMax',
      `${limits.proposalBytesMax} must be at most limits.uncommittedBytesMax (${limits.uncommittedBytesMax}); lower it`,
    );
  }
  leaseProblems(config, problem);
  const { certFile, keyFile } = config.hooks;
  if (certFile !== undefined && keyFile === undefined)
    problem('hooks.certFile', 'needs hooks.keyFile; give both or none');
  if (keyFile !== undefined && certFile === undefined)
    problem('hooks.keyFile', 'needs hooks.certFile; give both or none');
  if (config.wal.keepBytes > config.wal.keepSlowBytes) {
    problem(
      'wal.keepBytes',
      `${config.wal.keepBytes} must be at most wal.keepSlowBytes (${config.wal.keepSlowBytes}); lower it`,
    );
  }
  const ids = members.map((member) => member.id);
  if (!ids.includes(config.memberId)) {
    problem(
      'memberId',
      `"${config.memberId}" is not among members (${ids.join(', ')}); correct it or add the member to the list`,
    );
  }
  const addresses = members.flatMap((member) => [member.peerAddress, member.clientAddress]);
  for (const [what, values] of [
    ['id', ids],
    ['address', addresses],
  ] as const) {
    const twice = values.find((value, i) => values.indexOf(value) !== i);
    if (twice !== undefined) {
      problem('members', `the ${what} "${twice}" stands there twice; give each member its own`);
    }
  }
  return problems;
}

/** What is left for the drift of the clocks of two members against each other: a tenth. */
const LEASE_SHARE_MAX = 0.9;
const LEASE_SHARE_DEFAULT = 0.8;

/** Milliseconds. A follower counts whole ticks, and the first one may end right after it heard the leader: one less counts. */
function leaseMsMax(leaseTicks: number, tickMs: number): number {
  return Math.floor((leaseTicks - 1) * tickMs * LEASE_SHARE_MAX);
}

function leaseOf({ tickMs, electionTicks, leaseTicks, leaseMs }: ServerConfigInput['raft']) {
  const ticks = leaseTicks ?? Math.max(1, Math.floor(electionTicks / 2));
  const usual = Math.floor(ticks * tickMs * LEASE_SHARE_DEFAULT);
  return { leaseTicks: ticks, leaseMs: leaseMs ?? Math.min(usual, leaseMsMax(ticks, tickMs)) };
}

function leaseProblems({ raft }: ServerConfigInput, problem: (path: string, message: string) => void): void {
  const { leaseTicks, leaseMs } = leaseOf(raft);
  if (leaseTicks > raft.electionTicks) {
    problem('raft.leaseTicks', `${leaseTicks} must be at most raft.electionTicks (${raft.electionTicks}); lower it`);
  }
  const most = leaseMsMax(leaseTicks, raft.tickMs);
  if (leaseMs > most) {
    problem(
      'raft.leaseMs',
      `${leaseMs} must be at most 90 % of raft.leaseTicks less one (${leaseTicks - 1} ticks of ${raft.tickMs} ms), or a leader ` +
        `that was replaced may still answer reads; lower it to ${most}`,
    );
  }
}

function complete(input: ServerConfigInput, cwd: string, sources: Map<string, ConfigSource>): ServerConfig {
  const self = input.members.find((member) => member.id === input.memberId);
  const address = (path: 'peerListen' | 'clientListen'): string => {
    const given = input[path];
    if (given !== undefined) return given;
    const from = path === 'peerListen' ? 'peerAddress' : 'clientAddress';
    sources.set(path, { from: 'default', where: `${from} of member ${input.memberId}` });
    return self?.[from] ?? '';
  };
  const { raft } = input;
  const derived = (path: string, given: number | undefined, where: string): void => {
    if (given === undefined) sources.set(path, { from: 'default', where });
  };
  derived('raft.leaseTicks', raft.leaseTicks, 'half of raft.electionTicks');
  derived('raft.leaseMs', raft.leaseMs, '80 % of raft.leaseTicks, or less when they are few');
  return {
    clusterId: clusterId(input.clusterId),
    memberId: memberId(input.memberId),
    dataDir: absolute(cwd, input.dataDir),
    clientListen: address('clientListen'),
    peerListen: address('peerListen'),
    httpListen: input.httpListen,
    members: input.members.map((member) => ({ ...member, id: memberId(member.id) })),
    join: input.join,
    raft: { ...raft, ...leaseOf(raft) },
    wal: input.wal,
    limits: input.limits,
    storeFlushMs: input.storeFlushMs,
    storeFlushBytes: input.storeFlushBytes,
    partitionMs: input.partitionMs,
    featureLevelMax: input.featureLevelMax,
    ...outsideOf(input, cwd, sources),
    trace: traceOf(input, cwd, sources),
    log: input.log,
  };
}

function absolute(cwd: string, path: string): string {
  return isAbsolute(path) ? path : resolve(cwd, path);
}

function traceOf(
  { trace: { folder, bytesMax } }: ServerConfigInput,
  cwd: string,
  sources: Map<string, ConfigSource>,
): ServerConfig['trace'] {
  if (folder !== undefined) return { folder: absolute(cwd, folder), bytesMax };
  sources.set('trace.folder', { from: 'default', where: '' });
  return { bytesMax };
}

const OUTSIDE_FILES = ['budgetFile', 'fxFile'] as const;
const HOOK_FILES = ['caFile', 'certFile', 'keyFile', 'hmacSecretFile'] as const;

/** What has to do with the world outside of the cluster. Nothing of it has a default. */
function outsideOf(
  input: ServerConfigInput,
  cwd: string,
  sources: Map<string, ConfigSource>,
): Pick<ServerConfig, 'budgetFile' | 'fxFile' | 'alertWebhook' | 'hooks'> {
  const { alertWebhook, hooks } = input;
  const none = (path: string, value: string | undefined): void => {
    if (value === undefined) sources.set(path, { from: 'default', where: '' });
  };
  for (const name of OUTSIDE_FILES) none(name, input[name]);
  for (const name of HOOK_FILES) none(`hooks.${name}`, hooks[name]);
  none('alertWebhook', alertWebhook);
  none('hooks.allow', hooks.allow);
  const files = <Name extends string>(names: readonly Name[], given: { readonly [N in Name]?: string | undefined }) => {
    const named = names.map((name) => [name, given[name]] as const);
    const known = named.filter((pair): pair is readonly [Name, string] => pair[1] !== undefined);
    return Object.fromEntries(known.map(([name, path]) => [name, absolute(cwd, path)])) as Partial<
      Record<Name, string>
    >;
  };
  return {
    ...files(OUTSIDE_FILES, input),
    ...(alertWebhook === undefined ? {} : { alertWebhook }),
    hooks: { ...files(HOOK_FILES, hooks), ...(hooks.allow === undefined ? {} : { allow: hooks.allow }) },
  };
}

/** Never throws for bad input; all problems at once. `cwd` is what a relative `dataDir` starts from. */
export function loadConfig(input: ConfigInput, cwd: string): Result<LoadedConfig, readonly ConfigProblem[]> {
  const problems: ConfigProblem[] = unknownVariables(input.env);
  const file = input.file === null ? null : readConfigFile(input.file);
  if (file !== null && !file.ok) problems.push(...file.error);
  const fileValues = file?.ok === true ? file.value : null;
  const given = new Map<string, Given>();
  const sources = new Map<string, ConfigSource>();
  for (const setting of SETTINGS) {
    const found = pick(setting, input, fileValues);
    if (!found.ok) {
      problems.push(found.error);
    } else if (found.value !== null) {
      given.set(setting.path, found.value);
      sources.set(setting.path, found.value.source);
    }
  }
  // A broken file or variable makes other settings look missing: say the cause alone.
  if (problems.length > 0) return err(problems);
  const parsed = serverConfigSchema.safeParse(nest(given));
  if (!parsed.success) return err(parsed.error.issues.map((issue) => schemaProblem(issue, given, fileValues)));
  const relations = relationProblems(parsed.data, sources);
  if (relations.length > 0) return err(relations);
  return ok({ config: complete(parsed.data, cwd, sources), sources });
}
