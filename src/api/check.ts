/**
 * Validation at the gateway: every field once, against `types/limits.ts`; behind it the types are trusted.
 * A `Check` collects what is wrong, so that a caller hears of all of it at once. A wrong field yields a harmless
 * stand-in, and the request is never carried out when there is a failure.
 */
import { toSafeNumber } from '../codec/number.ts';
import type { PhaseRef, VectorClock } from '../machine/types.ts';
import type { FieldViolation, StatusError } from '../rpc/status.ts';
import type { Brand } from '../types/brand.ts';
import { isName, type MemberId } from '../types/ids.ts';
import { NAME_LENGTH_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, VECTOR_CLOCK_ENTRIES_MAX } from '../types/limits.ts';
import { invalidArgument } from './errors.ts';
import { keyOfToken } from './page-token.ts';

/** More than this is noise, and does not fit a trailer. */
const VIOLATIONS_MAX = 8;
const NAME = /^[A-Za-z0-9._\-/]+$/;
/** C0, DEL and C1. A caller's name ends up on terminals. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

export class Check {
  #violations: FieldViolation[] | null = null;

  /** The error to answer with, or null when everything is well. */
  failure(): StatusError | null {
    return this.#violations === null ? null : invalidArgument(this.#violations);
  }

  report(field: string, description: string): void {
    this.#violations ??= [];
    if (this.#violations.length < VIOLATIONS_MAX) this.#violations.push({ field, description });
  }

  /** Names of loops, plans and phases. */
  name(field: string, value: string): string {
    if (value.length > NAME_LENGTH_MAX || !NAME.test(value)) {
      this.report(
        field,
        value === ''
          ? `is empty; send 1 to ${NAME_LENGTH_MAX} characters`
          : `is not a name; send 1 to ${NAME_LENGTH_MAX} letters, digits, '.', '_', '-' or '/'`,
      );
    }
    return value;
  }

  nameOrEmpty(field: string, value: string): string {
    return value === '' ? value : this.name(field, value);
  }

  memberId(field: string, value: string): MemberId {
    if (!isName(value)) {
      this.report(
        field,
        "is no member id; send 1 to 64 characters of a-z, 0-9 and '-', with a letter or digit at both ends",
      );
    }
    return value as MemberId;
  }

  /** Well-formed already: protobuf refuses text that is no UTF-8. */
  text(field: string, value: string, lengthMax: number): string {
    if (value.length > lengthMax) {
      this.report(field, `has ${value.length} characters; send at most ${lengthMax}`);
    }
    return value;
  }

  textNotEmpty(field: string, value: string, lengthMax: number): string {
    if (value === '') this.report(field, `is empty; send 1 to ${lengthMax} characters`);
    return this.text(field, value, lengthMax);
  }

  /** What `label` accepts. */
  isLabel(value: string): boolean {
    return value.length <= NAME_LENGTH_MAX && !CONTROL.test(value);
  }

  /** One line of text about the caller. */
  label(field: string, value: string): string {
    if (CONTROL.test(value)) this.report(field, 'holds a control character; send one line of plain text');
    return this.text(field, value, NAME_LENGTH_MAX);
  }

  labelNotEmpty(field: string, value: string): string {
    if (value === '') this.report(field, `is empty; send 1 to ${NAME_LENGTH_MAX} characters`);
    return this.label(field, value);
  }

  number<B extends string>(
    field: string,
    value: bigint,
    min: number,
    max: number = Number.MAX_SAFE_INTEGER,
  ): Brand<number, B> {
    const number = toSafeNumber(value);
    if (number !== null && number >= min && number <= max) return number as Brand<number, B>;
    this.report(field, `is ${value}; send a whole number from ${min} to ${max}`);
    return min as Brand<number, B>;
  }

  /** How many elements a repeated field has. */
  count(field: string, length: number, min: number, max: number): void {
    if (length >= min && length <= max) return;
    this.report(field, `has ${length} elements; send ${min === 0 ? 'at most' : `${min} to`} ${max}`);
  }

  ref(ref: { readonly loop: string; readonly g: bigint; readonly phase: string } | undefined, field = 'ref'): PhaseRef {
    if (ref === undefined) {
      this.report(field, 'is missing; name the loop, the round and the phase');
      return { loop: '', g: 1, phase: '' };
    }
    return {
      loop: this.name(`${field}.loop`, ref.loop),
      g: this.number(`${field}.g`, ref.g, 1),
      phase: this.name(`${field}.phase`, ref.phase),
    };
  }

  /** Sorted by node, as the domain wants it; the caller need not sort. */
  clock(
    clock: { readonly entries: readonly { readonly node: string; readonly counter: bigint }[] } | undefined,
    name = 'vector_clock',
  ): VectorClock {
    if (clock === undefined || clock.entries.length === 0) return [];
    const { entries } = clock;
    this.count(`${name}.entries`, entries.length, 0, VECTOR_CLOCK_ENTRIES_MAX);
    if (entries.length > VECTOR_CLOCK_ENTRIES_MAX) return [];
    const pairs = entries.map(({ node, counter }, i): readonly [string, number] => {
      const field = `${name}.entries[${i}]`;
      // One below the largest number, so that the state machine can count on.
      return [
        this.labelNotEmpty(`${field}.node`, node),
        this.number(`${field}.counter`, counter, 1, Number.MAX_SAFE_INTEGER - 1),
      ];
    });
    pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    for (let i = 1; i < pairs.length; i += 1) {
      if (pairs[i]?.[0] === pairs[i - 1]?.[0]) {
        this.report(`${name}.entries`, 'names a node twice; send one entry for each node');
        break;
      }
    }
    return pairs;
  }

  page(request: { readonly pageSize: number; readonly pageToken: string }): { after: string | null; limit: number } {
    const { pageSize, pageToken } = request;
    if (pageSize > PAGE_SIZE_MAX) {
      this.report('page_size', `is ${pageSize}; send 1 to ${PAGE_SIZE_MAX}, or 0 for ${PAGE_SIZE_DEFAULT}`);
    }
    const after = keyOfToken(pageToken);
    if (after === undefined) {
      this.report('page_token', "is no token of ours; send '' or the next_page_token of the page before");
    }
    return { after: after ?? null, limit: pageSize === 0 ? PAGE_SIZE_DEFAULT : pageSize };
  }
}
