/**
 * Rows as text: JSON of an array of the fields in the order in which the codec lists them. The text does not depend on the
 * order in which an object's properties were set, so it is the same on every replica and can be hashed (R7).
 * A codec names every field of its type exactly once, or does not compile. The order of the list is the stored
 * format: fields are only ever added at the end.
 */
import { assert, must } from '../types/assert.ts';

type Json = string | number | boolean | null | readonly Json[];

export interface Codec<T> {
  pack(value: T): Json;
  unpack(json: Json): T;
}

const PLAIN: Codec<Json> = { pack: (value) => value, unpack: (json) => json };

/** A string, number, boolean, null, or arrays of them: stored as it is. */
export function plain<T extends Json>(): Codec<T> {
  return PLAIN as Codec<Json> as Codec<T>;
}

export function list<T>(item: Codec<T>): Codec<readonly T[]> {
  return {
    pack: (values) => values.map((value) => item.pack(value)),
    unpack: (json) => asArray(json).map((element) => item.unpack(element)),
  };
}

/** An object with a fixed set of fields, stored as an array in the order of `fields`. */
export function record<T>(fields: { readonly [K in keyof T]-?: Codec<T[K]> }): Codec<T> {
  const names = Object.keys(fields) as (keyof T & string)[];
  const codecs = names.map((name) => fields[name] as Codec<unknown>);
  const count = names.length;
  // Most fields are plain: one look at the list instead of a call for each.
  const nested = codecs.flatMap((codec, i) => (codec === PLAIN ? [] : [i]));
  return {
    pack(value) {
      const packed: Json[] = [];
      for (let i = 0; i < count; i++) packed.push(value[names[i] as keyof T] as Json);
      for (const i of nested) packed[i] = (codecs[i] as Codec<unknown>).pack(packed[i]);
      return packed;
    },
    unpack(json) {
      const packed = asArray(json);
      assert(packed.length === count, `stored row: ${count} fields expected, ${packed.length} found`);
      const value: Record<string, unknown> = {};
      for (let i = 0; i < count; i++) {
        value[names[i] as string] = (codecs[i] as Codec<unknown>).unpack(packed[i] as Json);
      }
      return value as T;
    },
  };
}

/** A union told apart by `kind`, stored as [kind, fields]. */
export function variants<T extends { readonly kind: string }>(
  cases: {
    readonly [K in T['kind']]: Codec<Omit<Extract<T, { kind: K }>, 'kind'>>;
  },
): Codec<T> {
  const byKind = new Map<string, Codec<unknown>>(Object.entries(cases) as [string, Codec<unknown>][]);
  return {
    pack(value) {
      const codec = must(byKind.get(value.kind), `no codec for ${value.kind}`);
      return [value.kind, codec.pack(value)];
    },
    unpack(json) {
      const [kind, fields] = asArray(json);
      assert(typeof kind === 'string' && fields !== undefined, 'stored row: [kind, fields] expected');
      const codec = must(byKind.get(kind), `stored row of unknown kind ${kind}`);
      return { kind, ...(codec.unpack(fields) as object) } as unknown as T;
    },
  };
}

/** An object used as a dictionary of texts, stored as pairs sorted by key. */
export const dictionary: Codec<Readonly<Record<string, string>>> = {
  pack: (value) =>
    Object.keys(value)
      .sort()
      .map((key) => [key, must(value[key], key)]),
  unpack: (json) => Object.fromEntries(json as [string, string][]),
};

export function asArray(json: Json): readonly Json[] {
  assert(Array.isArray(json), 'stored row: an array expected');
  return json;
}
