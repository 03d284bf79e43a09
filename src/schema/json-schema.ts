/**
 * JSON Schema for control documents (P6): draft 2020-12, and draft 7 where `$schema` names it.
 *
 * Whoever writes documents writes their schemas, so both are bounded: their size by the limits of documents, the time by a
 * watchdog (a pattern can make a regular expression run for years), what is kept by the number of compiled schemas. Nothing is
 * ever fetched: a `$ref` leads into the schema itself, or nowhere.
 */
import { createContext, Script } from 'node:vm';
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { err, ok, type Result } from '../types/result.ts';

/** Compiled schemas that are kept, the ones used last. */
const SCHEMAS_KEPT = 128;
/**
 * Longest time for compiling a schema, and for checking one document, milliseconds. The member does nothing else meanwhile: both
 * are well below the election timeout, or a document could depose the leader.
 */
export const COMPILE_MS_MAX = 250;
export const VALIDATE_MS_MAX = 150;
/** Tries of what did not get the processor for half of its time, each with twice the time of the one before. */
const TRIES_MAX = 3;
/** Longest description of what is wrong, code units. */
const PROBLEM_LENGTH_MAX = 512;

const DRAFT_7 = /^https?:\/\/json-schema\.org\/draft-07\/schema#?$/;
const DRAFT_2020 = /^https:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/;

/** Formats are annotations in draft 2020-12, and stay that in both; unknown keywords are, too. */
const OPTIONS: Options = {
  strict: false,
  validateFormats: false,
  addUsedSchema: false,
  allErrors: false,
  logger: false,
};

/** What the watchdog says of a task that took too long. */
const TOO_LATE = 'it takes too long';

type Compiled = Result<ValidateFunction, string>;

export interface SchemaLimits {
  readonly schemasKept: number;
  readonly compileMs: number;
  readonly validateMs: number;
}

const LIMITS: SchemaLimits = { schemasKept: SCHEMAS_KEPT, compileMs: COMPILE_MS_MAX, validateMs: VALIDATE_MS_MAX };

export class JsonSchemas {
  readonly #limits: SchemaLimits;
  /** By text, the one used last at the end. */
  readonly #compiled = new Map<string, Compiled>();
  readonly #watchdog = new Watchdog();

  constructor(limits: Partial<SchemaLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits };
    // Now, while nobody waits: it takes a while.
    checkerOf(2020);
  }

  /** How many compiled schemas are kept. */
  get size(): number {
    return this.#compiled.size;
  }

  /** What is wrong with a schema, as a sentence without a subject; null when it can be used. */
  checkSchema(schema: string): string | null {
    const compiled = this.#compile(schema);
    return compiled.ok ? null : compiled.error;
  }

  /** What is wrong with `content`, as a sentence; null when nothing is. Never throws. '' as a schema: anything is right. */
  validate(schema: string, content: string): string | null {
    if (schema === '') return null;
    const compiled = this.#compile(schema);
    if (!compiled.ok) return `the schema ${compiled.error}`;
    const parsed = parse(content);
    if (!parsed.ok) return `the content is no JSON: ${parsed.error}`;
    const check = compiled.value;
    const checked = this.#watchdog.run(() => check(parsed.value), this.#limits.validateMs);
    if (!checked.ok) return `the content could not be checked: ${checked.error}`;
    return checked.value ? null : describe(check.errors?.[0]);
  }

  #compile(schema: string): Compiled {
    const known = this.#compiled.get(schema);
    this.#compiled.delete(schema);
    const compiled = known ?? this.#compileNew(schema);
    // Not a word about the schema: it may be another time.
    if (!compiled.ok && compiled.error.endsWith(TOO_LATE)) return compiled;
    this.#compiled.set(schema, compiled);
    const oldest = this.#compiled.size > this.#limits.schemasKept ? this.#compiled.keys().next().value : undefined;
    if (oldest !== undefined) this.#compiled.delete(oldest);
    return compiled;
  }

  #compileNew(text: string): Compiled {
    const parsed = parse(text);
    if (!parsed.ok) return err(`is no JSON: ${parsed.error}`);
    const schema = parsed.value;
    if (typeof schema !== 'boolean' && (typeof schema !== 'object' || schema === null || Array.isArray(schema))) {
      return err('is neither an object nor true or false');
    }
    const draft = draftOf(schema);
    if (draft === null) return err('names a $schema other than draft 2020-12 and draft 7');
    const meta = checkerOf(draft);
    const made = this.#watchdog.run((): Compiled => {
      if (meta.validateSchema(schema) !== true) return err(`is no JSON Schema: ${describe(meta.errors?.[0])}`);
      // An instance of its own: a shared one would keep what it has compiled for ever.
      const ajv = draft === 7 ? new Ajv(ownOptions) : new Ajv2020(ownOptions);
      return ok(ajv.compile(schema));
    }, this.#limits.compileMs);
    return made.ok ? made.value : err(`cannot be used: ${made.error}`);
  }
}

const checkers = new Map<7 | 2020, Ajv | Ajv2020>();

/** Checks schemas against that of their draft. Made ready outside of the watchdog: one that was interrupted meanwhile stays broken. */
function checkerOf(draft: 7 | 2020): Ajv | Ajv2020 {
  const known = checkers.get(draft);
  if (known !== undefined) return known;
  const made = draft === 7 ? new Ajv(OPTIONS) : new Ajv2020(OPTIONS);
  made.validateSchema({});
  checkers.set(draft, made);
  return made;
}

/** The schema was checked against the one of its draft before. */
const ownOptions: Options = { ...OPTIONS, validateSchema: false };

function draftOf(schema: object | boolean): 7 | 2020 | null {
  const named: unknown = typeof schema === 'object' && '$schema' in schema ? schema.$schema : undefined;
  if (named === undefined) return 2020;
  if (typeof named !== 'string') return null;
  if (DRAFT_7.test(named)) return 7;
  return DRAFT_2020.test(named) ? 2020 : null;
}

function parse(text: string): Result<unknown, string> {
  try {
    return ok(JSON.parse(text));
  } catch (error) {
    return err(cut(error instanceof Error ? error.message : String(error)));
  }
}

function describe(error: ErrorObject | undefined): string {
  if (error === undefined) return 'it does not match';
  const where = error.instancePath === '' ? 'the root' : error.instancePath;
  return cut(`${where} ${error.message ?? 'does not match'}`);
}

function cut(text: string): string {
  return text.length > PROBLEM_LENGTH_MAX
    ? `${text.slice(0, PROBLEM_LENGTH_MAX).replace(/[\ud800-\udbff]$/, '')}…`
    : text;
}

/** Ends a synchronous call that takes too long. V8 looks for the end of the time in loops and in regular expressions. */
class Watchdog {
  readonly #task: { run: () => void } = { run: () => {} };
  readonly #context = createContext(this.#task);
  readonly #script = new Script('run()');

  /** Again if need be: the clock also runs while the process stands still, and that is not the task's fault. */
  run<T>(task: () => T, timeoutMs: number): Result<T, string> {
    for (let tries = 1, limitMs = timeoutMs; ; tries++, limitMs *= 2) {
      const before = process.cpuUsage();
      const result = this.#once(task, limitMs);
      if (result.ok || result.error !== TOO_LATE || tries === TRIES_MAX) return result;
      const { user, system } = process.cpuUsage(before);
      if ((user + system) / 1_000 >= limitMs / 2) return result;
    }
  }

  #once<T>(task: () => T, timeoutMs: number): Result<T, string> {
    let result: Result<T, string> = err('it did not run');
    this.#task.run = () => {
      result = ok(task());
    };
    try {
      this.#script.runInContext(this.#context, { timeout: timeoutMs });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      result = err(code === 'ERR_SCRIPT_EXECUTION_TIMEOUT' ? TOO_LATE : cut(message ?? String(error)));
    } finally {
      this.#task.run = () => {};
    }
    return result;
  }
}
