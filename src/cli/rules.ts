/** `hotrace rules`: the rules, and one of them under each kernel profile. */

import { PROFILES } from '../../machines/profiles/timeline.js';
import { ruleById, RULES } from '../../machines/rules.js';
import type { Rule } from '../../machines/rules.js';
import { wrap } from '../report/format.js';
import { UsageError } from './usage-error.js';

/** The text of `hotrace rules [ID…]`, or JSON. Throws UsageError for an unknown rule. */
export function rulesText(ids: readonly string[], json: boolean): string {
  const chosen = ids.map((id) => {
    const rule = ruleById(id);
    if (rule === undefined) {
      throw new UsageError(`no rule is called "${id}"; \`hotrace rules\` lists them`);
    }
    return rule;
  });
  if (json)
    return `${JSON.stringify((ids.length === 0 ? RULES : chosen).map(asJson), undefined, 2)}\n`;
  return chosen.length === 0 ? list() : chosen.map(explain).join('\n');
}

function list(): string {
  const out: string[] = [];
  for (const { id, name, checkedBy, sentence } of RULES) {
    out.push(`${id.padEnd(11)} ${name.padEnd(28)}${checkedBy.join(', ')}`);
    for (const line of wrap(sentence, 80 - 12)) out.push(`${' '.repeat(12)}${line}`);
  }
  return `${out.join('\n')}\n`;
}

function explain(rule: Rule): string {
  const out = [
    `${rule.id} ${rule.name}`,
    ...wrap(rule.sentence, 80),
    '',
    ...labelled('source', rule.source),
    ...labelled('checked', `by hotrace ${rule.checkedBy.join(' and hotrace ')}`),
    ...(rule.needs === undefined ? [] : labelled('needs', rule.needs)),
    '',
    ...PROFILES.flatMap((p) => labelled(p.name, rule.under(p) ?? 'does not apply')),
  ];
  return `${out.join('\n')}\n`;
}

function labelled(label: string, text: string): string[] {
  return wrap(text, 80 - 8).map((line, n) => `${(n === 0 ? label : '').padEnd(8)}${line}`);
}

function asJson(rule: Rule) {
  return {
    id: rule.id,
    name: rule.name,
    sentence: rule.sentence,
    checkedBy: rule.checkedBy,
    source: rule.source,
    needs: rule.needs ?? null,
    kernels: Object.fromEntries(PROFILES.map((p) => [p.name, rule.under(p) ?? null])),
  };
}
