/** Rules for single files: purity of the core, shape of the code, and words that do not belong in the project. */
import type { SourceFile } from './files.ts';
import { isNode, lineOf, nameOf, parse, type SyntaxNode, walk } from './syntax.ts';

export const FILE_LINES_MAX = 400;
export const FUNCTION_LINES_MAX = 70;

/** Folders whose code is a function of its input: no clock, no randomness, no timers, no I/O, no promises (R5, R7). */
const PURE = /^src\/(?:raft|machine|types|ports)\//;

/** Names that bring the world in, or that differ from one engine, process or locale to the next. */
const IMPURE_NAMES = new Set([
  'Date',
  'performance',
  'crypto',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'queueMicrotask',
  'requestAnimationFrame',
  'process',
  'Promise',
  'Buffer',
  'TextEncoder',
  'TextDecoder',
  'console',
  'globalThis',
  'require',
  'fetch',
  'Intl',
  'WeakRef',
  'FinalizationRegistry',
  'SharedArrayBuffer',
  'Atomics',
  'eval',
  'Function',
]);

/** Exact everywhere; the others may differ in the last bit between engines. */
const EXACT_MATH = new Set(
  // sqrt: every engine leaves it to the processor, and IEEE 754 rounds it correctly.
  ['abs', 'ceil', 'clz32', 'floor', 'fround', 'imul', 'max', 'min', 'round', 'sign', 'sqrt', 'trunc'],
);

const LOCALE = /^(?:toLocale\w*|localeCompare)$/;

/** Positions where an identifier only names a property or key and refers to nothing. */
function refersToNothing(node: SyntaxNode, parent: SyntaxNode | undefined): boolean {
  if (parent === undefined) return false;
  if (parent.type === 'MemberExpression') return parent.property === node && parent.computed !== true;
  if (/^(?:Property|MethodDefinition|PropertyDefinition|TSPropertySignature|TSMethodSignature)$/.test(parent.type))
    return parent.key === node && parent.computed !== true && parent.shorthand !== true;
  return parent.type === 'TSQualifiedName' && parent.right === node;
}

function impurity(node: SyntaxNode, parent: SyntaxNode | undefined): string | null {
  switch (node.type) {
    case 'Identifier': {
      const name = String(node.name);
      return IMPURE_NAMES.has(name) && !refersToNothing(node, parent) ? name : null;
    }
    case 'MemberExpression': {
      const property = nameOf(node.property);
      if (property === undefined || node.computed === true) return null;
      if (LOCALE.test(property)) return `.${property}`;
      return nameOf(node.object) === 'Math' && /^[a-z]/.test(property) && !EXACT_MATH.has(property)
        ? `Math.${property}`
        : null;
    }
    case 'AwaitExpression':
      return 'await';
    case 'ImportExpression':
      return 'import()';
    case 'ForInStatement':
      return 'for…in';
    case 'ForOfStatement':
      return node.await === true ? 'for await' : null;
    default:
      return node.async === true ? 'async' : null;
  }
}

/** What a pure folder must not contain. Interfaces in `ports/` may promise: only code that runs counts. */
export function checkPurity(file: SourceFile): readonly string[] {
  if (!PURE.test(file.path)) return [];
  const problems: string[] = [];
  walk(parse(file), (node, ancestors) => {
    if (ancestors.some((one) => one.type.startsWith('TSType') || one.type === 'TSInterfaceDeclaration')) return;
    const what = impurity(node, ancestors.at(-1));
    if (what !== null) problems.push(`${at(file, node)}: ${what} in a pure folder`);
  });
  return problems;
}

/** Length of files and functions, default exports, enums, barrels. Test suites (`describe`) may be long. */
export function checkShape(file: SourceFile): readonly string[] {
  const problems: string[] = [];
  const lines = file.text.split('\n').length - 1;
  if (lines > FILE_LINES_MAX) problems.push(`${file.path}: ${lines} lines; at most ${FILE_LINES_MAX}`);
  const tree = parse(file);
  walk(tree, (node, ancestors) => {
    if (/^(?:FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) {
      const length = lineOf(file.text, node.end) - lineOf(file.text, node.start) + 1;
      if (length > FUNCTION_LINES_MAX && !isSuite(node, ancestors.at(-1)))
        problems.push(`${at(file, node)}: a function of ${length} lines; at most ${FUNCTION_LINES_MAX}`);
    }
    if (node.type === 'ExportDefaultDeclaration' && file.path !== 'vitest.config.ts')
      problems.push(`${at(file, node)}: a default export`);
    if (node.type === 'TSEnumDeclaration') problems.push(`${at(file, node)}: an enum; use a union`);
    if (node.type === 'ExportAllDeclaration' && node.exportKind !== 'type')
      problems.push(`${at(file, node)}: export *`);
  });
  if (file.path.startsWith('src/') && file.path !== 'src/index.ts' && isBarrel(tree))
    problems.push(`${file.path}: a barrel: it only exports what other files define`);
  return problems;
}

/** The function is what `describe(…)` is given, or it registers suites and tests itself (a contract suite). */
function isSuite(node: SyntaxNode, parent: SyntaxNode | undefined): boolean {
  if (parent?.type === 'CallExpression' && calls(parent, ['describe'])) return true;
  const body = isNode(node.body) && Array.isArray(node.body.body) ? node.body.body.filter(isNode) : [];
  return body.some((one) => one.type === 'ExpressionStatement' && calls(one.expression, ['describe', 'it', 'test']));
}

/** The expression is a call of one of these names or of a variant such as `describe.each([])`. */
function calls(expression: unknown, names: readonly string[]): boolean {
  if (!isNode(expression) || expression.type !== 'CallExpression') return false;
  let callee: unknown = expression.callee;
  while (isNode(callee) && callee.type !== 'Identifier') callee = callee.object ?? callee.callee ?? callee.tag;
  return names.includes(nameOf(callee) ?? '');
}

function isBarrel(tree: SyntaxNode): boolean {
  const body = (tree.body as readonly SyntaxNode[]).filter((node) => node.type !== 'ImportDeclaration');
  return body.length > 0 && body.every((node) => isNode(node.source));
}

interface Word {
  readonly pattern: RegExp;
  readonly why: string;
  readonly where: RegExp;
}

/** Written in pieces, so that this file does not match itself. */
const WORDS: readonly Word[] = [
  { pattern: /\b(?:TO[D]O|FIX[M]E|XX[X]|HAC[K])\b/, why: 'unfinished work belongs in an issue', where: /./ },
  {
    pattern: /\b(?:it|test|describe|suite|bench)\b[\w.]*\.(?:skip|only|todo|skipIf|runIf|fails)\b/,
    why: 'a test that does not run',
    where: /^test\/.*\.ts$/,
  },
  { pattern: /\.skip\(/, why: 'a test that does not run', where: /^test\/(?!interop\/|tidy).*\.ts$/ },
  {
    pattern: /@ts-(?:ignor[e]|nochec[k]|expect-erro[r])/,
    why: 'a silenced check',
    where: /^(?:src|scripts)\//,
  },
  { pattern: /\/(?:home|Users|root|work|workspace)\/[\w.]/, why: 'a path of one machine', where: /./ },
  { pattern: /\bfrom '(?:vitest|fast-check|memory-level)/, why: 'a test tool in the product', where: /^src\// },
];

/** Words that do not belong into a file of the project. */
export function checkWords(file: SourceFile): readonly string[] {
  const problems: string[] = [];
  for (const word of WORDS) {
    if (!word.where.test(file.path)) continue;
    const match = word.pattern.exec(file.text);
    if (match !== null) problems.push(`${file.path}:${lineOf(file.text, match.index)}: "${match[0]}": ${word.why}`);
  }
  return problems;
}

/** Fakes and fixtures live in `test/`. */
export function checkPlace(file: SourceFile): readonly string[] {
  const bad = /^src\/.*(?:^|[/.-])(?:test|spec|fixtures?|mocks?|fakes?|testing)(?:[/.-]|$)/;
  return bad.test(file.path) ? [`${file.path}: tests, fixtures and fakes do not belong in src/`] : [];
}

function at(file: SourceFile, node: SyntaxNode): string {
  return `${file.path}:${lineOf(file.text, node.start)}`;
}
