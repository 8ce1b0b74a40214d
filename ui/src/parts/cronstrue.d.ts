/** A module for its effect: it adds a language to cronstrue. */
declare module "cronstrue/locales/zh_CN";
