/**
 * Where the leader may call compensators. Targets come from agents: without a list, whoever may record an intent can make the leader send
 * a request to any address that it reaches (server-side request forgery).
 *
 * An entry is one of
 *   https://hooks.example/undo/   URLs of that scheme, host and port whose path is this one or lies below it
 *   hooks.example:8443            HTTP, HTTPS and gRPC at that host and port
 *   hooks.example                 the same at any port
 *
 * Compared is what would be called: a URL as the URL standard reads it, without dot segments, in lower case, whatever its user part says.
 * Names are compared, not the addresses that they stand for.
 */
import { err, ok, type Result } from '../types/result.ts';
import { failed, type Hook } from './hook.ts';

type Entry =
  | { readonly kind: 'prefix'; readonly origin: string; readonly path: string }
  /** `port` null: any. */
  | { readonly kind: 'host'; readonly host: string; readonly port: string | null };

const HOST_PORT = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([1-9]\d{0,4}))?$/i;
const PORT_MAX = 65_535;
/**
 * What the URL standard leaves alone and receivers may read as a way up: a slash or a backslash that is encoded (also twice), and dots
 * before a parameter (`..;`).
 */
const CLIMBS = /%(?:25)*(?:2f|5c)|\/(?:\.|%(?:25)*2e)+;/i;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

export class AllowList {
  readonly #entries: readonly Entry[];

  private constructor(entries: readonly Entry[]) {
    this.#entries = entries;
  }

  /** Entries parted by commas. The error says which one is none. */
  static parse(text: string): Result<AllowList, string> {
    const entries: Entry[] = [];
    for (const part of text.split(',').map((one) => one.trim())) {
      const entry = part.includes('://') ? prefixOf(part) : hostOf(part);
      if (entry === null) {
        return err(
          `${JSON.stringify(part)} is neither a host, nor host:port, nor an http or https URL without a query`,
        );
      }
      entries.push(entry);
    }
    return ok(new AllowList(entries));
  }

  /** `kind` worker: nobody is called. */
  allows(kind: 'http' | 'grpc' | 'worker', target: string): boolean {
    if (kind === 'worker') return true;
    const url = kind === 'http' ? urlOf(target) : null;
    const at = kind === 'http' ? placeOf(url) : hostOf(target);
    if (at === null) return false;
    return this.#entries.some((entry) => {
      if (entry.kind === 'host') return entry.host === at.host && (entry.port === null || entry.port === at.port);
      return url !== null && url.origin === entry.origin && isBelow(url.pathname, entry.path);
    });
  }
}

/** A hook that calls only what the list allows; anything else is a failed try. */
export function onlyAllowed(list: AllowList, kind: 'http' | 'grpc', hook: Hook): Hook {
  return {
    call: async (call, signal) => {
      if (list.allows(kind, call.target)) return hook.call(call, signal);
      return failed(`${call.target} is not among the targets that hooks.allow of this member names`);
    },
  };
}

function prefixOf(text: string): Entry | null {
  const url = urlOf(text);
  if (url === null || url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') return null;
  return { kind: 'prefix', origin: url.origin, path: url.pathname };
}

function hostOf(text: string): Extract<Entry, { kind: 'host' }> | null {
  const [, host, port] = HOST_PORT.exec(text) ?? [];
  if (host === undefined || Number(port ?? 0) > PORT_MAX) return null;
  return { kind: 'host', host: host.toLowerCase(), port: port ?? null };
}

function urlOf(text: string): URL | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url !== null && DEFAULT_PORTS[url.protocol] !== undefined ? url : null;
}

function placeOf(url: URL | null): { readonly host: string; readonly port: string | null } | null {
  if (url === null) return null;
  return { host: url.hostname, port: url.port === '' ? (DEFAULT_PORTS[url.protocol] ?? null) : url.port };
}

/** `/undo` allows /undo and /undo/vm, not /undone. */
function isBelow(path: string, prefix: string): boolean {
  if (!path.startsWith(prefix) || CLIMBS.test(path)) return false;
  return prefix.endsWith('/') || path.length === prefix.length || path.charAt(prefix.length) === '/';
}
