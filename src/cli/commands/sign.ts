/** `quorate sign`: keys of supervisors, and what they sign with them. */
import { randomBytes } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { OverrideAction } from '../../client/client.ts';
import type { Signable } from '../../signing/file.ts';
import { OVERRIDE_EXPIRY_MAX_MS } from '../../types/limits.ts';
import { type Context, parseDuration, run, type Shell, withClient } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../exit-codes.ts';
import { fileProblem } from '../file-problem.ts';
import { formatTime } from '../output.ts';
import { readSignatures } from '../signature-files.ts';

/** What only these commands need is loaded when they run. */
const loadKeys = () => import('../../signing/ed25519.ts');
const loadFiles = () => import('../../signing/file.ts');

interface Change {
  readonly name: string;
  readonly publicKey: string;
}

interface SignOptions {
  readonly key?: string;
  readonly trace?: string;
  readonly action?: OverrideAction;
  readonly add?: readonly Change[];
  readonly remove?: readonly Change[];
  readonly needed?: number;
  readonly with?: string;
  readonly as?: string;
  readonly expires: number;
  readonly nonce?: string;
  readonly clusterId?: string;
}

/** Only the owner may read a private key. */
const KEY_MODE = 0o600;
const EXPIRES_DEFAULT = '15m';

function parseExpires(text: string): number {
  const ms = parseDuration(text);
  if (ms > OVERRIDE_EXPIRY_MAX_MS) throw new InvalidArgumentError('Give at most 24 hours: 1440m.');
  return ms;
}

function parseNonce(text: string): string {
  if (!/^[0-9a-f]{32}$/i.test(text)) throw new InvalidArgumentError('Give 32 hexadecimal digits, drawn at random.');
  return text.toLowerCase();
}

function collectAdded(text: string, before: readonly Change[] = []): readonly Change[] {
  const [, name, publicKey] = /^([^=]+)=([0-9a-f]{64})$/i.exec(text) ?? [];
  if (name === undefined || publicKey === undefined) {
    throw new InvalidArgumentError('Write NAME=KEY with the 64 hexadecimal digits of the public key.');
  }
  return [...before, { name, publicKey: publicKey.toLowerCase() }];
}

function collectRemoved(name: string, before: readonly Change[] = []): readonly Change[] {
  return [...before, { name, publicKey: '' }];
}

/** 0: the rule. */
export function parseNeeded(text: string): number {
  if (text === 'rule') return 0;
  if (!/^[1-9]\d?$/.test(text))
    throw new InvalidArgumentError('Give how many signatures it takes, or rule for min(ceil(N/2), 3).');
  return Number(text);
}

async function keygen(context: Context, name: string): Promise<ExitCode> {
  const { shell, out } = context;
  const { generateKey } = await loadKeys();
  const { pem, publicKey } = generateKey();
  const path = resolve(shell.cwd, name);
  try {
    // Never over a key that is there: what it signed could not be signed again.
    const file = await open(path, 'wx', KEY_MODE);
    try {
      await file.writeFile(pem);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileProblem(name, error);
  }
  out.result({ file: path, publicKey }, `${name}: keep it to yourself; the public key is\n${publicKey}`);
  return EXIT.ok;
}

async function sign(context: Context, options: SignOptions): Promise<ExitCode> {
  const { shell, out } = context;
  const { readKey, KeyError } = await loadKeys();
  const { makeSignature, signatureText } = await loadFiles();
  if (options.key === undefined) throw new UsageError('--key is missing; quorate sign keygen --out FILE makes one');
  let key: ReturnType<typeof readKey>;
  try {
    key = readKey(await readFile(resolve(shell.cwd, options.key), 'utf8'));
  } catch (error) {
    if (error instanceof KeyError) throw new UsageError(`${options.key}: ${error.message}`, { cause: error });
    throw fileProblem(options.key, error);
  }
  const signable = await signableOf(context, options);
  const file = makeSignature(signable, options.as ?? '', key);
  const text = signatureText(file);
  // On a terminal people see what they have signed; the file has it as well.
  const what = signable.kind === 'override' ? `${signable.action} of ${signable.target}` : 'a change of the roster';
  out.note(`signed ${what} in cluster ${signable.clusterId}, until ${formatTime(signable.expiresAtMs)}`);
  out.result(JSON.parse(text) as object, text.trimEnd());
  return EXIT.ok;
}

async function signableOf(context: Context, options: SignOptions): Promise<Signable> {
  const { trace: target, action, add = [], remove = [], needed: signaturesNeeded = null } = options;
  const changes = [...add, ...remove];
  const ofRoster = changes.length > 0 || signaturesNeeded !== null;
  const wanted = [options.with !== undefined, target !== undefined || action !== undefined, ofRoster];
  if (wanted.filter(Boolean).length !== 1) {
    throw new UsageError(
      'say what to sign: --trace and --action, or --add, --remove and --needed, or --with a signature of another',
    );
  }
  if (options.with !== undefined) {
    const [given] = await readSignatures(context.shell.cwd, [options.with]);
    if (given === undefined) throw new UsageError('--with: no file was given');
    const { supervisor: _, publicKey: __, signature: ___, ...signable } = given.file;
    return signable as Signable;
  }
  const { clusterId, nowMs } = await clusterOf(context, options);
  const nonce = options.nonce ?? randomBytes(16).toString('hex');
  const once = { clusterId, expiresAtMs: nowMs + options.expires, nonce };
  if (ofRoster) return { kind: 'roster', ...once, changes, signaturesNeeded };
  if (target === undefined || action === undefined) throw new UsageError('give both --trace and --action');
  return { kind: 'override', ...once, target, action };
}

/** With --cluster-id nobody is asked, and the clock of this machine counts. */
async function clusterOf(context: Context, { clusterId }: SignOptions): Promise<{ clusterId: string; nowMs: number }> {
  if (clusterId !== undefined) return { clusterId, nowMs: Date.now() };
  const { signal } = context.shell;
  const roster = await withClient(context, (client) => client.overrides.roster({ signal }));
  return { clusterId: roster.clusterId, nowMs: roster.clusterTimeMs };
}

export function addSignCommands(program: Command, shell: Shell): void {
  const command = program
    .command('sign')
    .description('sign an override, or a change of the roster; prints the signature file')
    .option('--key <file>', 'private key of the signer, PEM')
    .option('--trace <trace-id>', 'whose recoveries are meant')
    .addOption(new Option('--action <action>').choices(['resume', 'abort', 'force-rollback']))
    .addOption(new Option('--add <name=key...>', 'for the roster').argParser(collectAdded))
    .addOption(new Option('--remove <name...>', 'for the roster').argParser(collectRemoved))
    .addOption(new Option('--needed <n>', 'how many signatures it takes from now on, or rule').argParser(parseNeeded))
    .option('--with <file>', 'sign the same as this signature file: same nonce, same expiry')
    .option('--as <name>', 'name of the signer on the roster; default: whoever has the key there')
    .addOption(
      new Option('--expires <duration>', 'how long it is good for, at most 1440m')
        .argParser(parseExpires)
        .default(parseExpires(EXPIRES_DEFAULT), EXPIRES_DEFAULT),
    )
    .option('--nonce <digits>', '32 hexadecimal digits; drawn at random unless given', parseNonce)
    .option('--cluster-id <id>', 'sign without asking the cluster, by the clock of this machine')
    .addHelpText(
      'after',
      `
Everybody who signs an override signs the same text: the first one makes it, the others take it over with --with.

Examples:
  quorate sign --key ada.pem --trace t-42 --action resume > ada.json
  quorate sign --key bob.pem --with ada.json > bob.json
  quorate sign --key ada.pem --add bob=KEY --expires 60m > ada.json
  quorate sign --key ada.pem --needed 2 > ada.json
  quorate sign --key ada.pem --trace t-42 --action abort --cluster-id prod > ada.json      without a network`,
    )
    .action((options: SignOptions, self: Command) => run(shell, self, (context) => sign(context, options)));
  command
    .command('keygen')
    .description('make a key: PEM that only you can read')
    .requiredOption('--out <file>', 'must not exist')
    .addHelpText('after', '\nExample:\n  quorate sign keygen --out ada.pem')
    .action((options: { out: string }, self: Command) => run(shell, self, (context) => keygen(context, options.out)));
}
