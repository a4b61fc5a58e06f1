// Before anything is painted: the theme that was chosen here, else the system's.
"use strict";
try {
  const theme = localStorage.getItem("theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch (_) { /* storage may be forbidden */ }
