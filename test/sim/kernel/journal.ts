/**
 * The trace of a run: everything that happens is mixed into a hash, so that two runs can be compared, and the last
 * part is kept for reading. Details are formatted only when somebody reads them.
 */
const KEPT = 600;
const PRIME = 0x01000193;

export interface Note {
  readonly timeUs: number;
  /** Name of a member or client, or '' for the world. */
  readonly who: string;
  readonly what: string;
  readonly detail: unknown;
}

/** A note as it is kept: written over when its turn comes again. */
interface Kept {
  timeUs: number;
  who: string;
  what: string;
  x: number;
  y: number;
  z: number;
  detail: unknown;
}

export class Journal {
  #low = 0x811c9dc5;
  #high = 0x9dc5811c;
  #count = 0;
  #at = 0;
  readonly #kept: Kept[] = [];
  readonly #sink: ((note: Note) => void) | null;

  constructor(sink: ((note: Note) => void) | null) {
    this.#sink = sink;
  }

  get count(): number {
    return this.#count;
  }

  /** `x`, `y`, `z` are what tells this happening from others of its kind. */
  note(timeUs: number, who: string, what: string, x: number, y: number, z: number, detail?: unknown): void {
    this.#count += 1;
    this.#mix(timeUs);
    this.#mixText(who);
    this.#mixText(what);
    this.#mix(x);
    this.#mix(y);
    this.#mix(z);
    this.#keep(timeUs, who, what, x, y, z, detail);
    this.#sink?.({ timeUs, who, what, detail: detail ?? [x, y, z] });
  }

  mixText(text: string): void {
    this.#mixText(text);
  }

  hash(): string {
    return (this.#low >>> 0).toString(16).padStart(8, '0') + (this.#high >>> 0).toString(16).padStart(8, '0');
  }

  /** Oldest first. */
  last(count: number): readonly Note[] {
    const ordered =
      this.#kept.length < KEPT ? this.#kept : [...this.#kept.slice(this.#at), ...this.#kept.slice(0, this.#at)];
    return ordered.slice(-count).map(({ timeUs, who, what, x, y, z, detail }) => {
      return { timeUs, who, what, detail: detail ?? [x, y, z] };
    });
  }

  #keep(timeUs: number, who: string, what: string, x: number, y: number, z: number, detail: unknown): void {
    const kept = this.#kept[this.#at];
    this.#at = (this.#at + 1) % KEPT;
    if (kept === undefined) {
      this.#kept.push({ timeUs, who, what, x, y, z, detail });
      return;
    }
    kept.timeUs = timeUs;
    kept.who = who;
    kept.what = what;
    kept.x = x;
    kept.y = y;
    kept.z = z;
    kept.detail = detail;
  }

  #mix(value: number): void {
    const low = value | 0;
    const high = Math.floor(value / 2 ** 32) | 0;
    this.#low = Math.imul(this.#low ^ low, PRIME) ^ (this.#low >>> 15);
    this.#high = (Math.imul(this.#high ^ high ^ (this.#low >>> 3), PRIME) + low) | 0;
  }

  #mixText(text: string): void {
    let hash = this.#low;
    for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), PRIME);
    this.#low = hash ^ (hash >>> 13);
    this.#high = (Math.imul(this.#high ^ hash, PRIME) + text.length) | 0;
  }
}

export function formatNote(note: Note): string {
  const time = (note.timeUs / 1000).toFixed(3).padStart(11);
  return `${time} ms  ${note.who.padEnd(4)} ${note.what.padEnd(14)} ${formatDetail(note.detail)}`;
}

function formatDetail(detail: unknown): string {
  if (typeof detail === 'string') return detail;
  if (Array.isArray(detail)) return detail.join(' ');
  return JSON.stringify(detail, (_key, value: unknown) =>
    value instanceof Uint8Array ? `<${value.length} bytes>` : value,
  );
}
