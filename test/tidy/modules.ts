/**
 * The module table of ARCHITECTURE.md is the rule; this compares it with the imports that are really there.
 * A row that no longer describes anything is as wrong as an import that no row allows.
 */
import { posix } from 'node:path';
import type { SourceFile } from './files.ts';
import { importsOf } from './syntax.ts';

export interface ModuleRow {
  /** Folder (or single file) directly in `src/`. */
  readonly name: string;
  /** Modules that it may import; true where types only. `types` is always allowed. */
  readonly imports: ReadonlyMap<string, { readonly typeOnly: boolean }>;
  /** Packages that it may import; `node` stands for the built-in modules. */
  readonly packages: ReadonlySet<string>;
}

const HEADING = /^\| in `src\/` +\|/;

/** Reads the table whose heading row starts with "| in `src/` |", padded or not. Throws when a row does not have its shape. */
export function parseModuleTable(markdown: string): readonly ModuleRow[] {
  const lines = markdown.split('\n');
  const start = lines.findIndex((line) => HEADING.test(line));
  if (start === -1) throw new Error('ARCHITECTURE.md has no table that starts with "| in `src/` |"');
  const rows: ModuleRow[] = [];
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith('|')) break;
    rows.push(parseRow(line));
  }
  return rows;
}

function parseRow(line: string): ModuleRow {
  const cells = line.split('|').slice(1, -1);
  const [name, owns, imports, packages] = cells.map((cell) => cell.trim());
  if (cells.length !== 4 || name === undefined || owns === undefined || owns === '')
    throw new Error(`not a row: ${line}`);
  const row = /^`([\w.-]+)\/?`$/.exec(name)?.[1];
  if (row === undefined) throw new Error(`the first cell does not name a folder: ${line}`);
  const allowed = new Map<string, { typeOnly: boolean }>();
  for (const item of items(imports ?? '')) {
    const match = /^`([\w.-]+)`( \(types\))?$/.exec(item);
    if (match?.[1] === undefined) throw new Error(`not a module: ${item} in ${line}`);
    allowed.set(match[1], { typeOnly: match[2] !== undefined });
  }
  const outside = new Set<string>();
  for (const item of items(packages ?? '')) {
    const match = /^`([@\w./-]+)`$/.exec(item);
    if (match?.[1] === undefined) throw new Error(`not a package: ${item} in ${line}`);
    outside.add(match[1]);
  }
  return { name: row, imports: allowed, packages: outside };
}

function items(cell: string): readonly string[] {
  return cell === '–' ? [] : cell.split(',').map((item) => item.trim());
}

/** The module that a file of `src/` belongs to: its first folder, or its own name. */
function moduleOf(path: string): string {
  return path.slice('src/'.length).split('/')[0] ?? '';
}

/** Name of the package that a specifier means; `node` for built-in modules. */
export function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return 'node';
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '');
}

/** What an import of one file means to the table. */
type Edge =
  | { readonly kind: 'module'; readonly name: string; readonly typeOnly: boolean; readonly where: string }
  | { readonly kind: 'package'; readonly name: string; readonly where: string }
  | { readonly kind: 'outside'; readonly name: string; readonly where: string };

function edgesOf(file: SourceFile): readonly Edge[] {
  return importsOf(file).map((one): Edge => {
    const where = `${file.path}:${one.line}`;
    if (!one.specifier.startsWith('.')) return { kind: 'package', name: packageOf(one.specifier), where };
    const target = posix.normalize(posix.join(posix.dirname(file.path), one.specifier));
    if (!target.startsWith('src/')) return { kind: 'outside', name: target, where };
    return { kind: 'module', name: moduleOf(target), typeOnly: one.typeOnly, where };
  });
}

/**
 * One line for each disagreement between the table and the files of `src/`. Generated code counts as present when
 * something imports it.
 */
export function checkModules(table: readonly ModuleRow[], files: readonly SourceFile[]): readonly string[] {
  const problems: string[] = [];
  const rows = new Map(table.map((row) => [row.name, row]));
  if (rows.size !== table.length) problems.push('ARCHITECTURE.md: two rows for one module');
  const used = new Map<string, Set<string>>();
  const usedAtRunTime = new Set<string>();
  const present = new Set<string>();
  for (const file of files) {
    const name = moduleOf(file.path);
    present.add(name);
    const row = rows.get(name);
    if (row === undefined) {
      problems.push(`${file.path}: ARCHITECTURE.md has no row for \`${name}\``);
      continue;
    }
    for (const edge of edgesOf(file)) {
      if (edge.kind === 'module' && edge.name === name) continue;
      const problem = refuse(row, edge);
      if (problem !== null) problems.push(problem);
      const key = edge.kind === 'package' ? `package ${edge.name}` : edge.name;
      used.set(name, (used.get(name) ?? new Set()).add(key));
      if (edge.kind === 'module' && !edge.typeOnly) usedAtRunTime.add(`${name} ${edge.name}`);
    }
  }
  for (const row of table) problems.push(...staleParts(row, present, used.get(row.name) ?? new Set(), usedAtRunTime));
  problems.push(...cycles(table));
  return problems;
}

function refuse(row: ModuleRow, edge: Edge): string | null {
  switch (edge.kind) {
    case 'outside':
      return `${edge.where}: \`${row.name}\` imports ${edge.name}, which is not in src/`;
    case 'package':
      return row.packages.has(edge.name)
        ? null
        : `${edge.where}: \`${row.name}\` may not import the package ${edge.name}`;
    case 'module': {
      if (edge.name === 'types') return null;
      const allowed = row.imports.get(edge.name);
      if (allowed === undefined) return `${edge.where}: \`${row.name}\` may not import \`${edge.name}\``;
      if (allowed.typeOnly && !edge.typeOnly)
        return `${edge.where}: \`${row.name}\` may import only types of \`${edge.name}\``;
      return null;
    }
  }
}

function staleParts(
  row: ModuleRow,
  present: ReadonlySet<string>,
  used: ReadonlySet<string>,
  usedAtRunTime: ReadonlySet<string>,
): readonly string[] {
  if (!present.has(row.name)) return [`ARCHITECTURE.md: stale row: there is no src/${row.name}`];
  const problems: string[] = [];
  for (const [name, { typeOnly }] of row.imports) {
    if (!used.has(name)) problems.push(`ARCHITECTURE.md: stale: nothing in \`${row.name}\` imports \`${name}\``);
    else if (!typeOnly && !usedAtRunTime.has(`${row.name} ${name}`))
      problems.push(`ARCHITECTURE.md: stale: \`${row.name}\` imports only types of \`${name}\`; say "(types)"`);
  }
  for (const name of row.packages) {
    if (!used.has(`package ${name}`))
      problems.push(`ARCHITECTURE.md: stale: nothing in \`${row.name}\` imports the package ${name}`);
  }
  return problems;
}

/** Modules that need each other at run time; type imports may point back. */
function cycles(table: readonly ModuleRow[]): readonly string[] {
  const problems: string[] = [];
  const rows = new Map(table.map((row) => [row.name, row]));
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    if (path.includes(name)) {
      problems.push(`ARCHITECTURE.md: a cycle: ${[...path.slice(path.indexOf(name)), name].join(' → ')}`);
      return;
    }
    if (done.has(name)) return;
    done.add(name);
    for (const [next, { typeOnly }] of rows.get(name)?.imports ?? []) if (!typeOnly) visit(next, [...path, name]);
  };
  for (const row of table) visit(row.name, []);
  return problems;
}
