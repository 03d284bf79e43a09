/** Reads the YAML of a configuration file and remembers on which line each key stands. */
import { isMap, isScalar, LineCounter, type ParsedNode, parseDocument } from 'yaml';
import { err, ok, type Result } from '../types/result.ts';
import { type ConfigProblem, unknownMessage } from './config-problem.ts';
import { SETTINGS } from './config-settings.ts';

export interface ConfigFile {
  /** As the user named it. */
  readonly name: string;
  readonly text: string;
}

export interface FileValues {
  /** Values of known settings by dotted path. */
  readonly values: ReadonlyMap<string, unknown>;
  /** `name:line` of the node at these keys, or of the nearest parent that exists. */
  where(keys: readonly PropertyKey[]): string;
}

const LEAVES = new Map(SETTINGS.map((setting) => [setting.path, setting]));
const GROUPS = new Set(SETTINGS.flatMap((s) => s.keys.slice(0, -1).map((_, i) => s.keys.slice(0, i + 1).join('.'))));

/** Paths that may stand at the same level as `path`, for suggestions; the whole list when the level is unknown. */
const ALL_PATHS = [...LEAVES.keys(), ...GROUPS];

class Reader {
  readonly values = new Map<string, unknown>();
  readonly problems: ConfigProblem[] = [];
  readonly #where: (offset: number) => string;

  constructor(where: (offset: number) => string) {
    this.#where = where;
  }

  readMap(node: ParsedNode, parents: readonly string[]): void {
    if (!isMap(node)) {
      this.#problem(parents.join('.'), node, 'must be a map of settings, written as "key: value" lines');
      return;
    }
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : String(key);
      const keys = [...parents, name];
      const path = keys.join('.');
      if (LEAVES.has(path)) {
        const plain: unknown = value === null ? null : value.toJSON();
        if (plain === null) this.#problem(path, key, 'has no value; give one or remove the line');
        else this.values.set(path, plain);
      } else if (GROUPS.has(path)) {
        if (value !== null && !(isScalar(value) && value.value === null)) this.readMap(value, keys);
      } else {
        this.#problem(path, key, unknownMessage(path, ALL_PATHS));
      }
    }
  }

  #problem(path: string, node: ParsedNode, message: string): void {
    this.problems.push({ path, where: this.#where(node.range[0]), message });
  }
}

export function readConfigFile(file: ConfigFile): Result<FileValues, readonly ConfigProblem[]> {
  const lines = new LineCounter();
  const document = parseDocument(file.text, { lineCounter: lines });
  const whereOffset = (offset: number): string => `${file.name}:${lines.linePos(offset).line}`;
  if (document.errors.length > 0) {
    return err(
      document.errors.map((error) => ({
        path: '',
        where: whereOffset(error.pos[0]),
        message: `this is not valid YAML: ${error.message.split('\n')[0]}`,
      })),
    );
  }
  const reader = new Reader(whereOffset);
  const root = document.contents;
  if (root !== null && !(isScalar(root) && root.value === null)) reader.readMap(root, []);
  if (reader.problems.length > 0) return err(reader.problems);
  return ok({
    values: reader.values,
    where(keys) {
      for (let length = keys.length; length > 0; length--) {
        const node: unknown = document.getIn(keys.slice(0, length), true);
        const range = (node as Partial<ParsedNode> | undefined)?.range;
        if (range !== undefined && range !== null) return whereOffset(range[0]);
      }
      return file.name;
    },
  });
}
